package main

import (
	"context"
	"time"

	"sluice/internal/testserver"
)

// benchStart times the product from the start of its process to /readyz, first
// with an empty state directory and then over what it left.
func benchStart(ctx context.Context, s *testserver.Server) ([]Result, error) {
	var results []Result
	for _, name := range []string{"start to ready, first time", "start to ready, again"} {
		begin := time.Now()
		if err := s.Start(ctx); err != nil {
			return nil, err
		}
		results = append(results, fewer(name, "s", time.Since(begin).Seconds(), 1.5, "limit", 1))
		s.Stop()
	}
	return results, nil
}
