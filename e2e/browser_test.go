package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/deploy"
)

// browser is a headless Chromium with one page.
type browser struct {
	ctx context.Context
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		skip(t, "needs Debian's chromium")
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(),
		append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return &browser{ctx}
}

// open loads a page into a window of this height, as high as it takes: what is
// not in sight is not drawn.
func (b *browser) open(t *testing.T, url string, height int64) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(1400, height), chromedp.Navigate("about:blank"), chromedp.Navigate(url)))
}

// evaluate returns what JavaScript says of the page, nothing while that has not
// what the expression is about.
func evaluate[T any](b *browser, expression string) (value T) {
	value, _ = chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	return value
}

// panel is what is to be seen of one in VictoriaMetrics' page.
type panel struct {
	Title, Alert string
	// Legend has a line for each series that is drawn, with its numbers.
	Legend []string
}

const (
	panelsOfVMUI = `[...document.querySelectorAll(".vm-predefined-panel")].map(p => ({
		Title: p.querySelector("h3").textContent,
		Alert: p.querySelector(".vm-alert_error")?.textContent ?? "",
		Legend: p.querySelector("canvas") ? [...p.querySelectorAll(".vm-legend-item")].map(l => l.textContent) : [],
	}))`
	tabsOfVMUI       = `[...document.querySelectorAll(".vm-predefined-panels-tabs__tab")].map(t => t.textContent)`
	openTabOfVMUI    = `[...document.querySelectorAll(".vm-predefined-panels-tabs__tab")].find(t => t.textContent == %q).click()`
	unfoldRowsOfVMUI = `document.querySelectorAll(".vm-predefined-dashboard > header:not(.vm-accordion-header_open)").forEach(h => h.click())`
)

// lookAtPages looks at the dashboards and the diagnoses where the stores show them.
func lookAtPages(t *testing.T, c *collector, s *stores, cast parts) {
	b := openBrowser(t)
	shown := cast.shown()
	for _, name := range deploy.Names {
		dashboard, err := deploy.ReadVMUI(name)
		require.NoError(t, err)
		b.open(t, s.metricsURL+"/vmui/?#/dashboards?g0.range_input=5m&g0.relative_time=last_5_minutes", 9000)
		c.await(t, "the dashboard "+dashboard.Title, func() bool {
			return slices.Contains(evaluate[[]string](b, tabsOfVMUI), dashboard.Title)
		})
		evaluate[any](b, fmt.Sprintf(openTabOfVMUI, dashboard.Title))
		var titles []string
		for _, row := range dashboard.Rows {
			for _, p := range row.Panels {
				titles = append(titles, p.Title)
			}
		}
		var panels []panel
		c.await(t, "all panels of "+name+" with something in them", func() bool {
			evaluate[any](b, unfoldRowsOfVMUI)
			panels = evaluate[[]panel](b, panelsOfVMUI)
			return len(panels) == len(titles) && !slices.ContainsFunc(panels, func(p panel) bool { return len(p.Legend) == 0 })
		})
		for i, p := range panels {
			require.Equal(t, titles[i], p.Title)
			require.Empty(t, p.Alert, p.Title)
			if name == "host" {
				for _, legend := range shown[p.Title] {
					require.True(t, slices.ContainsFunc(p.Legend, func(l string) bool { return strings.HasPrefix(l, legend) }),
						"%s shows %q, not %q", p.Title, p.Legend, legend)
				}
			}
		}
	}

	// The picture of the documentation is of the first row.
	if picture := os.Getenv("HOTSPOT_PICTURE"); picture != "" {
		b.open(t, s.metricsURL+"/vmui/?#/dashboards?g0.range_input=3m&g0.relative_time=last_3_minutes", 1000)
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(picture, png, 0o644))
	}
}
