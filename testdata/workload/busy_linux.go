package workload

// busy runs one thread without end.
func busy() error {
	if err := ready(); err != nil {
		return err
	}
	for {
		continue
	}
}
