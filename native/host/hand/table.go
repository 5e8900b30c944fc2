package hand

import (
	"context"
	"encoding/json"

	"pyro/native/host/wire"
	"pyro/native/layer/fault"
)

// call is one request as an operation sees it.
type call struct {
	args     json.RawMessage
	progress func(any)
}

type operation func(ctx context.Context, call *call) (any, error)

type nothing struct{}

// takes wraps a function with typed arguments; fields it does not have are refused.
func takes[Args any](run func(ctx context.Context, args Args, progress func(any)) (any, error)) operation {
	return func(ctx context.Context, call *call) (any, error) {
		var args Args
		if err := wire.Strict(call.args, &args); err != nil {
			return nil, fault.New("bad_args", "", "the arguments are not understood: %v", err)
		}
		result, err := run(ctx, args, call.progress)
		if err == nil && result == nil {
			result = nothing{}
		}
		return result, err
	}
}
