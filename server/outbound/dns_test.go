package outbound_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// names is a name server: what it answers can change between two questions, as that of an attacker does.
type names struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr
}

func (n *names) set(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers[name] = nil
	for _, address := range addresses {
		n.answers[name] = append(n.answers[name], netip.MustParseAddr(address))
	}
}

// startNames starts a name server that knows no name yet, and returns a resolver that asks it and nobody else.
func startNames(t *testing.T) (*names, *net.Resolver) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{answers: map[string][]netip.Addr{}}
	var serving sync.WaitGroup
	serving.Go(func() { n.serve(socket) })
	t.Cleanup(func() { _ = socket.Close(); serving.Wait() })
	return n, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

func (n *names) serve(socket net.PacketConn) {
	packet := make([]byte, 1500)
	for {
		size, from, err := socket.ReadFrom(packet)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(n.answer(packet[:size]), from)
	}
}

// answer answers a question for A or AAAA records (RFC 1035 §4.1), or says that there is no such name.
func (n *names) answer(question []byte) []byte {
	var labels []string
	at := 12
	for question[at] != 0 {
		size := int(question[at])
		labels = append(labels, string(question[at+1:at+1+size]))
		at += 1 + size
	}
	kind := binary.BigEndian.Uint16(question[at+1:])
	n.mu.Lock()
	addresses, known := n.answers[strings.ToLower(strings.Join(labels, "."))]
	n.mu.Unlock()
	reply := append([]byte(nil), question[:at+5]...)
	binary.BigEndian.PutUint16(reply[2:], 0x8180)
	if !known {
		binary.BigEndian.PutUint16(reply[2:], 0x8183)
	}
	count := uint16(0)
	for _, address := range addresses {
		if address.Is4() != (kind == 1) {
			continue
		}
		count++
		reply = append(reply, 0xc0, 12)
		reply = binary.BigEndian.AppendUint16(reply, kind)
		reply = append(reply, 0, 1, 0, 0, 0, 0) // class IN, no time to live
		reply = binary.BigEndian.AppendUint16(reply, uint16(address.BitLen()/8))
		reply = append(reply, address.AsSlice()...)
	}
	binary.BigEndian.PutUint16(reply[4:], 1)
	binary.BigEndian.PutUint16(reply[6:], count)
	binary.BigEndian.PutUint32(reply[8:], 0)
	return reply
}
