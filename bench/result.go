package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Result is one line of the table.
type Result struct {
	Name      string  `json:"name"`
	Unit      string  `json:"unit"`
	Sluice    float64 `json:"sluice"`
	Rival     float64 `json:"rival"` // 0 where there is none
	RivalName string  `json:"rival_name"`
	// Ratio is how many times better Sluice is than its rival, whatever better
	// means for the unit; against a fixed limit it is limit / measured.
	Ratio  float64 `json:"ratio"`
	Budget float64 `json:"budget"` // the least ratio that is good enough; 0 is none
	OK     bool    `json:"ok"`
}

// fewer makes a result where less is better: seconds, bytes.
func fewer(name, unit string, sluice, rival float64, rivalName string, budget float64) Result {
	r := Result{Name: name, Unit: unit, Sluice: sluice, Rival: rival, RivalName: rivalName, Budget: budget}
	if sluice > 0 {
		r.Ratio = rival / sluice
	}
	r.OK = r.Ratio >= budget
	return r
}

// more makes a result where more is better: packets per second.
func more(name, unit string, sluice, rival float64, rivalName string, budget float64) Result {
	r := Result{Name: name, Unit: unit, Sluice: sluice, Rival: rival, RivalName: rivalName, Budget: budget}
	if rival > 0 {
		r.Ratio = sluice / rival
	}
	r.OK = r.Ratio >= budget
	return r
}

// printTable writes the results for people.
func printTable(w io.Writer, results []Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tunit\tsluice\trival\t\tratio\tbudget\t")
	for _, r := range results {
		verdict, budget := "ok", "-"
		if r.Budget > 0 {
			budget = fmt.Sprintf("%.3gx", r.Budget)
			if !r.OK {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%.4g\t%s\t%.3gx\t%s\t%s\n", r.Name, r.Unit, r.Sluice, r.Rival, r.RivalName, r.Ratio, budget, verdict)
	}
	t.Flush()
}

// writeResults writes the results for programs.
func writeResults(path string, results []Result) error {
	out, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make results directory: %w", err)
	}
	if err := os.WriteFile(path, append(out, '\n'), 0o644); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}
