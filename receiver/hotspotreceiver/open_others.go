//go:build !linux

package hotspotreceiver

import "errors"

func openHost(*Config) (*eyes, error) { return nil, errors.ErrUnsupported }
