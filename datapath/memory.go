package datapath

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// memory is the maps of the table as the kernel's programs see them at the same
// moment. All unsafe access to maps is in this file. Words that decide what
// an entry is (tags, generations, status) are read and written by atomics alone; the
// rest of an entry may change under a reader, who finds out by the generation.
type memory struct {
	tags      []firewallTagBucket
	flows     []firewallFlowBucket
	state     *firewallTableState
	endpoints []firewallEndpoint
	policies  []firewallPolicy
	regions   [][]byte
}

// mapMemory maps the mmap-able maps of a table.
func mapMemory(m *firewallMaps) (*memory, error) {
	mem := &memory{}
	var state []firewallTableState
	var err error
	if mem.tags, err = mapArray[firewallTagBucket](mem, m.FlowTags); err == nil {
		mem.flows, err = mapArray[firewallFlowBucket](mem, m.Flows)
	}
	if err == nil {
		state, err = mapArray[firewallTableState](mem, m.Table)
	}
	if err == nil {
		mem.endpoints, err = mapArray[firewallEndpoint](mem, m.Endpoints)
	}
	if err == nil {
		mem.policies, err = mapArray[firewallPolicy](mem, m.Policies)
	}
	if err != nil {
		mem.unmap()
		return nil, err
	}
	mem.state = &state[0]
	return mem, nil
}

func mapArray[T any](mem *memory, m *ebpf.Map) ([]T, error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if m.ValueSize() != uint32(size) {
		return nil, fmt.Errorf("map memory of %v: value of %d bytes, want %d", m, m.ValueSize(), size)
	}
	n := int(m.MaxEntries())
	page := os.Getpagesize()
	length := (n*size + page - 1) / page * page
	b, err := unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory of %v: %w", m, err)
	}
	mem.regions = append(mem.regions, b)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), nil
}

// unmap gives the memory back; nothing may read it afterwards.
func (m *memory) unmap() {
	for _, b := range m.regions {
		_ = unix.Munmap(b) // only fails for a region that is not mapped
	}
	*m = memory{}
}

// entry names one place in the table, and the flow that was in it.
type entry struct {
	bucket     uint32
	generation uint32
	slot       uint8
	closed     bool // when it was marked: it is cut, but no flow that was cut
}

// keyWords are the 40 bytes of a key as five words: source, destination, and the
// word that keyWord makes.
func keyWords(f *firewallFlow) *[5]uint64 {
	return (*[5]uint64)(unsafe.Pointer(&f.Key))
}

// keyWord joins the small members of a key as they lie in memory (little endian).
func keyWord(sport, dport uint16, protocol, family uint8, endpoint uint16) uint64 {
	return uint64(sport) | uint64(dport)<<16 | uint64(protocol)<<32 | uint64(family)<<40 | uint64(endpoint)<<48
}

func (m *memory) tag(bucket uint32, slot uint8) *uint32 {
	return &m.tags[bucket].Tag[slot]
}

func (m *memory) flow(bucket uint32, slot uint8) *firewallFlow {
	return &m.flows[bucket].Flow[slot]
}

// read copies the flow of an entry, if one is there and did not change its identity
// meanwhile.
func (m *memory) read(bucket uint32, slot uint8, to *firewallFlow) bool {
	tag, f := m.tag(bucket, slot), m.flow(bucket, slot)
	before := atomic.LoadUint32(tag)
	if before < tagFirst {
		return false
	}
	generation := atomic.LoadUint32(&f.Generation)
	*to = *f
	to.Status = atomic.LoadUint32(&f.Status)
	return atomic.LoadUint32(tag) == before && atomic.LoadUint32(&f.Generation) == generation &&
		to.Generation == generation
}

// mark sets FLUSHED on the flow of an entry, if it is still the one of generation and
// nobody else has cut it. The programs take it for no flow from this instant on.
func (m *memory) mark(e entry, nowSeconds uint32) bool {
	f := m.flow(e.bucket, e.slot)
	if atomic.LoadUint32(&f.Generation) != e.generation {
		return false
	}
	atomic.StoreUint32(&f.FlushedAt, nowSeconds)
	if atomic.OrUint32(&f.Status, statusFlushed)&statusGone != 0 {
		return false
	}
	if atomic.LoadUint32(&f.Generation) != e.generation {
		// Another flow has taken the place meanwhile, and this was its status.
		atomic.AndUint32(&f.Status, ^uint32(statusFlushed))
		return false
	}
	return true
}

// touch gives a marked entry more time before the kernel's cleaner takes it.
func (m *memory) touch(e entry, nowSeconds uint32) {
	if f := m.flow(e.bucket, e.slot); atomic.LoadUint32(&f.Generation) == e.generation {
		atomic.StoreUint32(&f.FlushedAt, nowSeconds)
	}
}

// free empties an entry, if it still holds the flow of its generation. Nobody else takes
// a marked one before touch has been left off for seconds.
func (m *memory) free(e entry) {
	tag, f := m.tag(e.bucket, e.slot), m.flow(e.bucket, e.slot)
	old := atomic.LoadUint32(tag)
	if old < tagFirst || atomic.LoadUint32(&f.Generation) != e.generation {
		return
	}
	if atomic.CompareAndSwapUint32(tag, old, tagFree) {
		atomic.AddUint64(&m.state.Used, ^uint64(0))
	}
}

// used counts the entries of a bucket that are not free.
func (m *memory) used(bucket uint32) (n int) {
	for s := range m.tags[bucket].Tag {
		if atomic.LoadUint32(&m.tags[bucket].Tag[s]) != tagFree {
			n++
		}
	}
	return n
}

// claim puts a flow into a free entry of a bucket.
func (m *memory) claim(bucket, tag uint32, from *firewallFlow) bool {
	for s := range m.tags[bucket].Tag {
		at := m.tag(bucket, uint8(s))
		if !atomic.CompareAndSwapUint32(at, tagFree, tagBusy) {
			continue
		}
		f := m.flow(bucket, uint8(s))
		generation := f.Generation + 1
		*f = *from
		atomic.StoreUint32(&f.Generation, generation)
		atomic.StoreUint32(at, tag)
		return true
	}
	return false
}
