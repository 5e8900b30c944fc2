package hand

import (
	"context"

	"pyro/native/host/jail"
)

func makeJail(_ context.Context, spec jail.Spec, _ func(any)) (any, error) {
	return nil, jail.Make(spec)
}

func removeJail(_ context.Context, where jail.Where, _ func(any)) (any, error) {
	return nil, jail.Remove(where)
}
