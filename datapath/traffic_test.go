package datapath

import (
	"io"
	"net"
	"testing"
	"time"

	"sluice"
)

// echo answers what comes in on every connection.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

func exchange(t testing.TB, c net.Conn, n int) {
	t.Helper()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, n)
	go c.Write(b)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("exchange %d bytes: %v", n, err)
	}
}

func TestForwardedTCPIsOneFlow(t *testing.T) {
	top := newTopology(t)
	d := testDatapath(t, 4096)
	st := apply(t, d, top.endpoint(testPolicy()))
	if len(st[0].Attached) != 2 || len(st[0].Missing) != 0 {
		t.Fatalf("status %+v", st[0])
	}
	for _, address := range []string{"10.9.2.2:8080", "[fd09:2::2]:8080"} {
		go echo(top.listen(top.server, "tcp", address))
		c, err := top.dial(top.client, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		exchange(t, c, 100000)
	}
	flows := captureFrom(t, d, testEndpoint, onlyTCP...)
	for _, f := range flows {
		t.Log(short(f))
		if f.State != sluice.FlowEstablished || f.Packets[0] < 3 || f.Bytes[0] < 100000 || f.Bytes[1] < 100000 {
			t.Errorf("unexpected %s", short(f))
		}
	}
	if len(flows) != 2 {
		t.Fatalf("%d flows, want 2", len(flows))
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
}
