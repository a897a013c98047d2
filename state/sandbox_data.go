package state

import (
	"context"
	"maps"

	"sluice"
)

// SandboxData returns the data of a sandbox.
func (s *Store) SandboxData(ctx context.Context, id string) (map[string]string, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if _, err := loadSandbox(tx, id); err != nil {
		return nil, err
	}
	data, _, err := load[map[string]string](tx, sandboxDataPrefix+id)
	return data, err
}

// SetSandboxData sets keys of a sandbox that admit lets change, within a bound in
// bytes. Without any data to set, and with clear, it removes all.
func (s *Store) SetSandboxData(ctx context.Context, id string, set map[string]string, clear bool, bound int, admit func(sluice.Sandbox) error) error {
	return s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if err := admit(b); err != nil {
			return err
		}
		data := map[string]string{}
		if !clear {
			if data, _, err = load[map[string]string](tx, sandboxDataPrefix+id); err != nil {
				return err
			}
			if data == nil {
				data = map[string]string{}
			}
		}
		maps.Copy(data, set)
		size := 0
		for k, v := range data {
			size += len(k) + len(v)
		}
		if size > bound {
			return sluice.Errorf(sluice.KindLimitExceeded, "The data of the reservation would be %d bytes; at most %d fit.", size, bound)
		}
		return save(tx, sandboxDataPrefix+id, data)
	})
}

// AddSandboxMessage adds a line to the output of a sandbox that admit lets write, of
// which the last ones are kept.
func (s *Store) AddSandboxMessage(ctx context.Context, id, message string, kept int, admit func(sluice.Sandbox) error) error {
	return s.transact(ctx, func(tx *transaction) error {
		b, err := loadSandbox(tx, id)
		if err != nil {
			return err
		}
		if err := admit(b); err != nil {
			return err
		}
		lines, _, err := load[[]string](tx, sandboxOutputPrefix+id)
		if err != nil {
			return err
		}
		lines = append(lines, message)
		return save(tx, sandboxOutputPrefix+id, lines[max(0, len(lines)-kept):])
	})
}

// SandboxOutput returns the last lines of the output of a sandbox.
func (s *Store) SandboxOutput(ctx context.Context, id string) ([]string, error) {
	tx := &transaction{ctx: ctx, kv: s.kv}
	if _, err := loadSandbox(tx, id); err != nil {
		return nil, err
	}
	lines, _, err := load[[]string](tx, sandboxOutputPrefix+id)
	return lines, err
}
