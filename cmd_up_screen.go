package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/up"
)

// screen is what `up` tells once it is ready.
type screen struct {
	typed     string // how the program was started
	folder    *up.Folder
	bootstrap up.Bootstrap
	ports     up.Ports
	settings  upSettings
	list      string // the line that shows the clients
	paint     terminal.Palette
}

func (s screen) print(out io.Writer, parts []up.PartStatus) {
	switch {
	case s.settings.JSON:
		_ = json.NewEncoder(out).Encode(map[string]any{ // standard output is gone
			"ready": true, "issuer": s.bootstrap.Issuer, "admin_url": s.bootstrap.AdminURL, "entry_url": s.bootstrap.EntryURL,
			"data_dir": s.folder.Path, "bootstrap": s.folder.BootstrapPath(), "parts": parts,
		})
		return
	case !s.settings.Quiet:
		s.picture(out)
		s.table(out)
		s.lines(out)
	}
	fmt.Fprintln(out, s.paint.Good("countersign: ready"), s.bootstrap.Issuer)
}

func (s screen) stores() (database, tokens string) {
	database, tokens = "SQLite", "in-process"
	if s.settings.MySQL != "" {
		database = "MySQL (--mysql)"
	}
	if s.settings.Redis != "" {
		tokens = "Redis (--redis)" //nolint:gosec // no credential
	}
	return database, tokens
}

// placed is a text of the picture and the column at which it begins.
type placed struct {
	column int
	text   string
}

// picture draws the parts with their ports on 127.0.0.1.
func (s screen) picture(out io.Writer) {
	const balancer, gateway, service, server, store = 10, 27, 43, 57, 77
	database, tokens := s.stores()
	p := s.ports
	fmt.Fprintf(out, "%s\n\n", s.paint.Strong("Countersign runs on this machine."))
	draw(out, s.paint.Strong, placed{2, "user ─▶ load balancer ─▶ gateway 1, 2 ─▶ service A ──▶ auth server 1, 2 ──▶ database: " + database})
	draw(out, s.paint.Faint,
		placed{balancer, ports(p.Entry)}, placed{gateway, ports(p.Gateways[:]...)}, placed{service, ports(p.Services[0])},
		placed{server, ports(p.Issuer)}, placed{store, "token store: " + tokens})
	draw(out, s.paint.Strong, placed{gateway + 2, "│ ▲"}, placed{service + 2, "│"}, placed{server + 3, "▲"})
	draw(out, s.paint.Strong, placed{gateway + 2, "│ └─── call ───┘"}, placed{server + 3, "│"})
	draw(out, s.paint.Strong, placed{gateway + 2, "└─▶ service B ── is it good? ──┘"})
	draw(out, s.paint.Faint, placed{gateway + 6, ports(p.Services[1])})
	fmt.Fprintln(out)
}

// draw writes one line of the picture.
func draw(out io.Writer, paint func(string) string, texts ...placed) {
	var line strings.Builder
	width := 0
	for _, t := range texts {
		gap := max(t.column-width, 0)
		line.WriteString(strings.Repeat(" ", gap) + t.text)
		width += gap + utf8.RuneCountInString(t.text)
	}
	fmt.Fprintln(out, paint(line.String()))
}

func ports(numbers ...int) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = fmt.Sprintf(":%d", n)
	}
	return strings.Join(texts, " ")
}

func (s screen) table(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	p := s.ports
	row := func(name, address, behind, health string) {
		fmt.Fprintf(table, "  %s\t%s\t%s\thealth, metrics %s\n", name, address, behind, health)
	}
	row("entry", s.bootstrap.EntryURL, "gateways "+ports(p.Gateways[:]...), ports(append(p.GatewayAdmin[:], p.Balancer)...))
	row("issuer", s.bootstrap.Issuer, "auth servers "+ports(p.Auth[:]...), ports(p.AuthAdmin[:]...))
	row("admin", s.bootstrap.AdminURL, "auth servers "+ports(p.AuthAdmin[:]...), ports(p.AuthAdmin[:]...))
	row("services", "", "A, B "+ports(p.Services[:]...), ports(p.ServiceAdmin[:]...))
	_ = table.Flush()
	fmt.Fprintf(out, "  data folder   %s\n\n", s.folder.Path)
}

// lines are what to type next. The secrets stay in files: the lines read them there.
func (s screen) lines(out io.Writer) {
	say := func(what string, lines ...string) {
		fmt.Fprintln(out, what)
		fmt.Fprintln(out)
		for _, line := range lines {
			fmt.Fprintln(out, "  "+s.paint.Strong(line))
		}
		fmt.Fprintln(out)
	}
	orders := s.bootstrap.EntryURL + "/orders"
	say("Try it: what can be ordered, and an order.", "curl "+orders, `curl -d '{"item": "anvil", "quantity": 2}' `+orders)
	say("What happens on the way: get a token as service A, ask as service B what it is worth, call service B.",
		s.tokenLine(), s.introspectLine(), s.callLine())
	say("In another terminal: one request hop by hop, what happens when parts fail, the parts, the clients.",
		s.command("demo trace"), s.typed+" drill list", s.command("up status"), s.list)
	fmt.Fprintf(out, "Credentials are in %s, the gateways' routes in %s and %s, which may be changed. Ctrl-C ends everything.\n\n",
		up.ShellPath(s.folder.BootstrapPath()), up.ShellPath(s.folder.File(gatewayFile(0))), gatewayFile(1))
}

// command is one that finds the running system by its data folder.
func (s screen) command(words string) string {
	line := s.typed + " " + words
	if s.settings.DataDir != defaultDataDir {
		line += " --data-dir " + up.ShellPath(s.folder.Path)
	}
	return line
}

// tokenLine keeps the secret out of sight and out of the process list: curl reads it from a file.
func (s screen) tokenLine() string {
	return fmt.Sprintf("curl -s -K %s -d grant_type=client_credentials %s/oauth2/token", s.folder.CurlPath("service-a"), s.bootstrap.Issuer)
}

func (s screen) introspectLine() string {
	return fmt.Sprintf("curl -s -K %s -d token=$(%s | cut -d'\"' -f4) %s/oauth2/introspect", s.folder.CurlPath("service-b"), s.tokenLine(), s.bootstrap.Issuer)
}

// callLine goes through load balancer and gateway to the inventory service.
func (s screen) callLine() string {
	return fmt.Sprintf("curl -s -H \"Authorization: Bearer $(%s | cut -d'\"' -f4)\" %s/inventory/items", s.tokenLine(), s.bootstrap.EntryURL)
}
