//go:build !linux

package hotspotreceiver

import "errors"

func openHost() (*eyes, error) { return nil, errors.ErrUnsupported }
