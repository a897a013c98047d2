package main

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/testnet"
	"sluice/receive"
)

const (
	// crashRounds is how often the server is killed while it makes a session.
	crashRounds = 12
	// crashPort is where the datagrams go that are mirrored.
	crashPort = 7007
)

// crashBed is a lab whose server is killed while it makes a session from the client's
// device to the sensor's.
type crashBed struct {
	mirrorLab
	server         *testServer
	source, target string
	before         mirrorTrace    // the kernel without a session
	copies         net.PacketConn // of the sensor
	stream         net.Conn       // from the client to the server
}

func newCrashBed(t *testing.T) *crashBed {
	t.Helper()
	config := testLab(t)
	b := &crashBed{mirrorLab: mirrorLab{config, t}, server: startTestServer(t, config)}
	b.source, b.target = b.nic(b.Network.Client, "eth0"), b.nic(b.Network.Sensor, "eth0")
	hosts := b.Network.Hosts()
	b.copies = b.listen(net.JoinHostPort(hosts[2].IPv4.String(), "4789"))
	sink, err := testnet.ListenPacket(b.Network.Server, "udp4", net.JoinHostPort(hosts[1].IPv4.String(), "7007"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	if b.stream, err = testnet.Dial(t.Context(), b.Network.Client, "udp4", sink.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stream.Close() })
	b.before = b.trace(b.Network.Client)
	return b
}

// restart kills the server and starts the next one on the same state.
func (b *crashBed) restart() {
	b.t.Helper()
	b.server.Kill()
	b.server = startTestServer(b.t, b.labConfig)
}

// attempt is a creation that may be cut off.
type attempt struct {
	answered bool
	answer   automationAnswer
}

// create asks for session number 1.
func (b *crashBed) create(ctx context.Context, a automation, sandbox string) attempt {
	answer, err := a.send(ctx, "ExecuteCommand", creation(sandbox, b.source, b.target, 1, crashPort, crashPort))
	return attempt{err == nil, answer}
}

// cut asks for session number 1 and kills the server some time after the whole request
// was sent, or when it is answered.
func (b *crashBed) cut(a automation, sandbox string, after time.Duration) attempt {
	sent, done := make(chan struct{}), make(chan attempt, 1)
	ctx := httptrace.WithClientTrace(b.t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	go func() { done <- b.create(ctx, a, sandbox) }()
	<-sent
	select {
	case <-time.After(after):
		b.server.Kill()
		return <-done
	case made := <-done:
		b.server.Kill()
		return made
	}
}

// made is what the EC2 API shows of mirroring.
type made struct {
	sessions []mirrorSession
	targets  []mirrorTarget
	filters  []mirrorFilter
}

func (b *crashBed) made() (m made) {
	b.t.Helper()
	e := ec2{mustConfig(b.t, b.labConfig)}
	var err error
	if m.sessions, err = describeSessions(b.t.Context(), e, nil); err != nil {
		b.t.Fatal(err)
	}
	if m.targets, err = describeTargets(b.t.Context(), e, nil); err != nil {
		b.t.Fatal(err)
	}
	if m.filters, err = describeMirrorFilters(b.t.Context(), e, nil); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// nothing checks that there is no mirroring: in the API, and in the kernel.
func (b *crashBed) nothing() {
	b.t.Helper()
	if m := b.made(); len(m.sessions)+len(m.targets)+len(m.filters) > 0 {
		b.t.Errorf("half-made or left: %+v", m)
	}
	b.trace(b.Network.Client).same(b.t, b.before)
}

// whole checks that there is all of one session: its parts in the API, its program and
// maps in the kernel, and copies at the sensor.
func (b *crashBed) whole() (session string) {
	b.t.Helper()
	m := b.made()
	if len(m.sessions) != 1 || len(m.targets) != 1 || len(m.filters) != 1 {
		b.t.Fatalf("half-made: %+v", m)
	}
	s, target, filter := m.sessions[0], m.targets[0], m.filters[0]
	if s.InterfaceID != b.source || s.Number != 1 || s.TargetID != target.ID || s.FilterID != filter.ID || target.InterfaceID != b.target ||
		len(filter.Egress) != 1 || len(filter.Ingress) != 0 || len(s.Tags) != 6 || len(target.Tags) != 6 || len(filter.Tags) != 6 {
		b.t.Errorf("half-made: %+v", m)
	}
	b.mirrors(s.VNI)
	b.trace(b.Network.Client).mirrored(b.t, b.before, s.ID)
	return s.ID
}

// mirrors sends datagrams until a copy of the last comes in a VXLAN network.
func (b *crashBed) mirrors(vni uint32) {
	b.t.Helper()
	datagram := make([]byte, 65536)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		number := rand.Uint64()
		if _, err := b.stream.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
			b.t.Fatal(err)
		}
		if err := b.copies.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			b.t.Fatal(err)
		}
		for {
			n, _, err := b.copies.ReadFrom(datagram)
			if err != nil {
				break // too late; the next one
			}
			got, frame, fault := receive.Decapsulate(datagram[:n])
			if fault == 0 && got == vni && len(frame) >= 50 && binary.BigEndian.Uint64(frame[42:]) == number {
				return
			}
		}
	}
	b.t.Fatalf("no copies come in VXLAN network %d", vni)
}

// end ends a sandbox, and waits until the kernel has followed: nothing is left.
func (b *crashBed) end(a automation, sandbox string) {
	b.t.Helper()
	a.end(sandbox)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cmp.Equal(b.trace(b.Network.Client), b.before) {
			break
		}
	}
	b.nothing()
}

// TestAKillDuringACreationLeavesAllOrNothing: the server is killed between a request for
// a session and its answer. The next process has the whole session, or nothing of it and
// the number is free.
func TestAKillDuringACreationLeavesAllOrNothing(t *testing.T) {
	b := newCrashBed(t)
	// A first creation, by a process that has just started as the others will have,
	// shows how long one takes.
	b.restart()
	a := b.logon()
	sandbox := a.begin("crash")
	begun := time.Now()
	if first := b.create(t.Context(), a, sandbox); !first.answered || !first.answer.Success {
		t.Fatalf("the first creation: %+v", first)
	}
	moment := moments{took: time.Since(begun), decided: time.Since(begun)}
	b.whole()
	b.end(a, sandbox)

	for round := range crashRounds {
		sandbox := a.begin("crash")
		after := moment.next(round)
		cut := b.cut(a, sandbox, after)
		b.server = startTestServer(t, b.labConfig)
		a = b.logon()
		whole := len(b.made().sessions) > 0
		if whole {
			session := b.whole()
			if cut.answered && !strings.Contains(cut.answer.Info.Output, session) {
				t.Errorf("answered %q, and there is %s", cut.answer.Info.Output, session)
			}
		} else {
			b.nothing()
			if cut.answered {
				t.Errorf("answered, and there is nothing: %+v", cut.answer)
			}
		}
		moment.learn(after, whole)
		t.Logf("killed %v after the request, answered: %t, whole: %t", after, cut.answered, whole)

		// The number is taken or free, as the session is there or not.
		again := b.create(t.Context(), a, sandbox)
		taken := strings.HasPrefix(again.answer.Message, "Was not able to find an available session number for "+b.source)
		if !again.answered || again.answer.Success == whole || taken != whole {
			t.Errorf("asked again, where the session is there: %t: %+v", whole, again)
		}
		b.whole()
		b.end(a, sandbox)
		if t.Failed() {
			t.FailNow()
		}
	}
	if moment.wholes == 0 || moment.nothings == 0 {
		t.Errorf("the kills met one side alone: %+v", moment)
	}
	b.server.stop(t)
}

// moments chooses when to kill. Half of the kills close in on the moment of the decision
// from both sides, the others fall into the longer time after it, in which the kernel is
// told; the last waits for the answer.
type moments struct {
	took             time.Duration // by a creation that nothing disturbs
	undecided        time.Duration // the latest after which there was nothing
	decided          time.Duration // the earliest after which there was all
	wholes, nothings int
}

func (m *moments) next(round int) time.Duration {
	switch {
	case round == crashRounds-1:
		return time.Hour
	case m.nothings == 0:
		return 0
	case round%2 == 0: // the moment is early: orders of magnitude are halved
		low := max(m.undecided, 100*time.Microsecond)
		return time.Duration(math.Sqrt(float64(low) * float64(max(m.decided, low))))
	}
	return m.decided + rand.N(max(m.took-m.decided, time.Millisecond))
}

func (m *moments) learn(after time.Duration, whole bool) {
	if whole {
		m.wholes++
		m.decided = min(m.decided, after)
	} else {
		m.nothings++
		m.undecided = max(m.undecided, after)
	}
}
