package daemon

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDurationsInJSONAreMillisecondsWithAUnit(t *testing.T) {
	var out bytes.Buffer
	NewLogger(&out, slog.LevelInfo).With("since", time.Second).Info("ended",
		"duration", 1500*time.Microsecond, "flows", 3, slog.Group("limits", "deadline", time.Minute))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	delete(got, "time")
	want := map[string]any{"level": "INFO", "msg": "ended", "since_ms": 1000.0, "duration_ms": 1.5, "flows": 3.0,
		"limits": map[string]any{"deadline_ms": 60000.0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}
