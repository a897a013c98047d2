package datapath

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type flow -type flow_bucket -type tag_bucket -type table_state -type table_layout -type policy -type endpoint -type verdict_counters -type covered_key -type fragment -type fragment_key firewall bpf/firewall.c -- -O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
