package state

import (
	"context"
	"encoding/base64"

	"sluice"
)

// sandboxDatum is a key of the data of a sandbox. Both are bytes, so that their stored
// size follows from their own, whatever they say.
type sandboxDatum struct{ Key, Value []byte }

func sandboxDatumKey(id, key string) string {
	return sandboxDataPrefix + id + "/" + base64.RawURLEncoding.EncodeToString([]byte(key))
}

// loadSandboxData reads all data of a sandbox.
func loadSandboxData(tx *transaction, id string) (map[string]string, error) {
	all, err := loadAll[sandboxDatum](tx, sandboxDataPrefix+id+"/")
	if err != nil {
		return nil, err
	}
	data := make(map[string]string, len(all))
	for _, d := range all {
		data[string(d.Key)] = string(d.Value)
	}
	return data, nil
}

// SandboxData returns the data of a sandbox.
func (s *Store) SandboxData(ctx context.Context, id string) (data map[string]string, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		if _, err := loadSandbox(tx, id); err != nil {
			return err
		}
		data, err = loadSandboxData(tx, id)
		return err
	})
	return data, err
}

// SetSandboxData sets keys of a sandbox that admit lets change, within the quotas of
// its data. With clear it removes all others. A key that has the value already is not
// written again.
func (s *Store) SetSandboxData(ctx context.Context, id string, set map[string]string, clear bool, q sluice.SandboxQuotas, admit func(sluice.Sandbox) error) error {
	return s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if err := admit(b); err != nil {
			return err
		}
		data, err := loadSandboxData(tx, id)
		if err != nil {
			return err
		}
		if clear {
			for k := range data {
				tx.remove(sandboxDatumKey(id, k))
			}
			data = map[string]string{}
		}
		for k, v := range set {
			if old, there := data[k]; there && old == v {
				continue
			}
			data[k] = v
			if err := save(tx, sandboxDatumKey(id, k), sandboxDatum{[]byte(k), []byte(v)}); err != nil {
				return err
			}
		}
		size := 0
		for k, v := range data {
			size += len(k) + len(v)
		}
		if size > q.DataBytes {
			return sluice.Errorf(sluice.KindLimitExceeded, "The data of the reservation would be %d bytes; at most %d fit.", size, q.DataBytes)
		}
		if len(data) > q.DataKeys {
			return sluice.Errorf(sluice.KindLimitExceeded, "The data of the reservation would be %d keys; at most %d fit.", len(data), q.DataKeys)
		}
		return nil
	})
}

// sandboxOutput says which lines of the output of a sandbox are kept.
type sandboxOutput struct {
	First, Next int64 // numbers of the oldest line, and of the one that comes next
	Bytes       int   // of all lines
}

func sandboxLineKey(id string, number int64) string {
	return sandboxLinePrefix + id + "/" + orderedNumber(number)
}

// AddSandboxMessage adds a line to the output of a sandbox that admit lets write. The
// oldest lines go where the quotas of the output are exceeded; the new one stays.
func (s *Store) AddSandboxMessage(ctx context.Context, id, message string, q sluice.SandboxQuotas, admit func(sluice.Sandbox) error) error {
	return s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if err := admit(b); err != nil {
			return err
		}
		out, _, err := load[sandboxOutput](tx, sandboxOutputPrefix+id)
		if err != nil {
			return err
		}
		out.Bytes += len(message)
		for out.First < out.Next && (out.Bytes > q.OutputBytes || out.Next-out.First >= int64(q.Messages)) {
			key := sandboxLineKey(id, out.First)
			oldest, _, err := load[[]byte](tx, key)
			if err != nil {
				return err
			}
			tx.remove(key)
			out.Bytes -= len(oldest)
			out.First++
		}
		if err := save(tx, sandboxLineKey(id, out.Next), []byte(message)); err != nil {
			return err
		}
		out.Next++
		return save(tx, sandboxOutputPrefix+id, out)
	})
}

// SandboxOutput returns the last lines of the output of a sandbox.
func (s *Store) SandboxOutput(ctx context.Context, id string) (lines []string, err error) {
	err = s.view(ctx, func(tx *transaction) error {
		lines = nil
		if _, err := loadSandbox(tx, id); err != nil {
			return err
		}
		all, err := loadAll[[]byte](tx, sandboxLinePrefix+id+"/")
		for _, line := range all {
			lines = append(lines, string(line))
		}
		return err
	})
	return lines, err
}
