// Command sluice is the project's one binary: the daemon (serve), the lab and
// the demo, and the people's side of the API (flow, firewall). Each verb has a
// file of its own; the nouns that several verbs share (the table on a terminal,
// the progress line, the flow filter on the command line) have theirs.
//
// It must never decide what an operation means: verbs of the people's side do
// nothing that an AWS SDK could not do, and serve only wires the rooms together.
//
// Exit codes: 0 done, 1 failed, 2 used wrongly.
package main
