package datapath

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheOwnNamespaceIsNeverAnother looks at the own namespace while threads, the main
// one among them, go to another and come back.
func TestTheOwnNamespaceIsNeverAnother(t *testing.T) {
	needRoot(t)
	name := fmt.Sprintf("datapath%d-own", os.Getpid())
	makeNamespace(t, name)
	own, err := namespaceInode("")
	if err != nil || own == 0 {
		t.Fatal(own, err)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				ns, err := openNamespace(name)
				if err != nil || ns == nil {
					t.Errorf("open %s: %v, %v", name, ns, err)
					return
				}
				if err := ns.close(); err != nil {
					t.Error(err)
				}
				runtime.Gosched()
			}
		})
	}
	wrong := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		for range 20 {
			if inode, err := namespaceInode(""); err != nil || inode != own {
				wrong++
			}
		}
		ns, err := openNamespace("")
		if err != nil {
			t.Error(err)
			break
		}
		if ns.inode != own {
			wrong++
		}
		if err := ns.close(); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if wrong > 0 {
		t.Errorf("the own namespace was another one %d times", wrong)
	}
}
