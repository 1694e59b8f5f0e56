package screen

import "charm.land/bubbles/v2/key"

// keys are what one can press.
type keys struct {
	next, previous, first, second, third key.Binding
	sort, reverse, filter, clear, pause  key.Binding
	up, down, pageUp, pageDown, top      key.Binding
	repaint, quit                        key.Binding
}

func newKeys() keys {
	bind := func(keys []string, help ...string) key.Binding {
		options := []key.BindingOpt{key.WithKeys(keys...)}
		if len(help) == 2 {
			options = append(options, key.WithHelp(help[0], help[1]))
		}
		return key.NewBinding(options...)
	}
	return keys{
		next:     bind([]string{"tab", "right"}, "tab", "table"),
		previous: bind([]string{"shift+tab", "left"}),
		first:    bind([]string{"1"}),
		second:   bind([]string{"2"}),
		third:    bind([]string{"3"}),
		sort:     bind([]string{"s"}, "s", "sort"),
		reverse:  bind([]string{"r"}, "r", "reverse"),
		filter:   bind([]string{"/"}, "/", "filter"),
		clear:    bind([]string{"esc"}),
		pause:    bind([]string{"p", "space"}, "p", "pause"),
		up:       bind([]string{"up", "k"}, "↑↓", "scroll"),
		down:     bind([]string{"down", "j"}),
		pageUp:   bind([]string{"pgup"}),
		pageDown: bind([]string{"pgdown"}),
		top:      bind([]string{"home", "g"}),
		repaint:  bind([]string{"ctrl+l"}),
		quit:     bind([]string{"q", "ctrl+c"}, "q", "quit"),
	}
}

// help returns those the help line names.
func (k *keys) help() []key.Binding {
	return []key.Binding{k.next, k.sort, k.reverse, k.filter, k.pause, k.up, k.quit}
}
