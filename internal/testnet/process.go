package testnet

import (
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Process is a program that runs in a namespace.
type Process struct {
	Cmd  *exec.Cmd
	done chan struct{}
	err  error // of Cmd.Wait; written before done is closed
	kill sync.Once
}

// Start runs a prepared command inside a namespace. The kernel kills the child
// when this process dies, whatever kills it, so that a crashed run leaves nothing
// behind.
func Start(netns string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	// The death signal comes when the thread that forked ends (prctl(2),
	// PR_SET_PDEATHSIG), so that thread is kept until the child has ended.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := Do(netns, cmd.Start); err != nil {
			if cmd.Process != nil { // it started, but the thread could not go home
				cmd.Process.Kill()
				cmd.Wait()
			}
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s in namespace %s: %w", cmd.Path, netns, err)
	}
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the program to end and returns the error of exec.Cmd.Wait.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the program with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.kill.Do(func() {
		select {
		case <-p.done:
		default:
			p.Cmd.Process.Kill() // fails only when it has ended meanwhile
		}
	})
	<-p.done
}
