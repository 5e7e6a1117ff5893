package listeners

import "github.com/countersign/countersign/internal/statuspage"

// StatusSection shows listeners on a status page.
func StatusSection(all []Status) statuspage.Section {
	s := statuspage.Section{Key: "listeners", Title: "Listeners", Empty: "none", Columns: []statuspage.Column{
		{Key: "name", Label: "Listener"},
		{Key: "address", Label: "Address"},
		{Key: "protocol", Label: "Protocol"},
		{Key: "connections", Label: "Connections"},
		{Key: "idle", Label: "Idle"},
		{Key: "max_connections", Label: "At most"},
		{Key: "accepted", Label: "Accepted"},
	}}
	for _, l := range all {
		protocol := "http"
		switch {
		case l.Stream:
			protocol = "tcp"
		case l.TLS:
			protocol = "https"
		}
		most := any(l.Most)
		if l.Most == 0 {
			most = statuspage.Said{Value: 0, Text: "any number"}
		}
		s.Rows = append(s.Rows, []any{l.Name, l.Address, protocol, l.Connections, l.Idle, most, l.Accepted})
	}
	return s
}
