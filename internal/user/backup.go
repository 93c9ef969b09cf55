package user

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/caddy-multi-session/gateway/storage"
)

// Backup returns all records of this package as they are at one instant, in the order of their keys.
func (u *Users) Backup(ctx context.Context) ([]storage.Record, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	var records []storage.Record
	add := func(record storage.Record) error {
		records = append(records, record)
		return nil
	}
	for _, prefix := range []string{userPrefix, invitationPrefix} {
		if err := u.store.Walk(ctx, prefix, add); err != nil {
			return nil, fmt.Errorf("walk users: %w", err)
		}
	}
	if err := walkNames(ctx, u.store, add); err != nil {
		return nil, err
	}
	secret, _, err := u.store.Get(ctx, secretKey)
	if err == nil {
		records = append(records, secret)
	} else if !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("load secret: %w", err)
	}
	slices.SortFunc(records, func(a, b storage.Record) int { return cmp.Compare(a.Key, b.Key) })
	return records, nil
}
