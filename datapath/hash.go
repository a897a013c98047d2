package datapath

import "math/bits"

// This is bpf/hash.h again, for what has to find or make an entry without a packet:
// Seed, and the tests that compare the two.

func sipRound(v *[4]uint64) {
	v[0] += v[1]
	v[2] += v[3]
	v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
	v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
	v[0] = bits.RotateLeft64(v[0], 32)
	v[2] += v[1]
	v[0] += v[3]
	v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
	v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
	v[2] = bits.RotateLeft64(v[2], 32)
}

// sip13 is SipHash-1-3 of whole words.
func sip13(seed [2]uint64, words ...uint64) uint64 {
	v := [4]uint64{
		seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
		seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573,
	}
	for _, m := range append(words, uint64(len(words)*8)<<56) {
		v[3] ^= m
		sipRound(&v)
		v[0] ^= m
	}
	v[2] ^= 0xff
	for range 3 {
		sipRound(&v)
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

// keyHash is the hash of a key, whichever direction it has.
func keyHash(seed [2]uint64, k *[5]uint64) uint64 {
	sport, dport := k[4]&0xffff, k[4]>>16&0xffff
	swapped := k[4]&^0xffffffff | sport<<16 | dport
	if uint8(k[4]>>40) == familyIPv4 {
		a, b := k[1]>>32, k[3]>>32
		if a > b || a == b && sport > dport {
			return sip13(seed, b<<32|a, swapped)
		}
		return sip13(seed, a<<32|b, k[4])
	}
	if k[0] > k[2] || k[0] == k[2] && (k[1] > k[3] || k[1] == k[3] && sport > dport) {
		return sip13(seed, k[2], k[3], k[0], k[1], swapped)
	}
	return sip13(seed, k[0], k[1], k[2], k[3], k[4])
}

// placeOf is where a key may lie.
func placeOf(layout *firewallTableLayout, k *[5]uint64) (bucket1, bucket2, tag uint32) {
	h := keyHash(layout.Seed, k)
	n := uint64(layout.Buckets)
	tag = uint32(h>>16)&0xffff0000 | uint32(h)&0xffff
	if tag < tagFirst {
		tag += tagFirst
	}
	return uint32(h >> 32 * n >> 32), uint32(h & 0xffffffff * n >> 32), tag
}
