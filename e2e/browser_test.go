package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	ctx, cancel = context.WithTimeout(ctx, 4*patience)
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

// openDashboard shows one of VictoriaMetrics' dashboards.
func (b *browser) openDashboard(t *testing.T, c *collector, s backends, title string, height int64) {
	t.Helper()
	b.open(t, s.metrics.URL+"/vmui/?#/dashboards?g0.range_input=5m&g0.relative_time=last_5_minutes", height)
	c.await(t, "the dashboard "+title, func() bool { return slices.Contains(evaluate[[]string](b, tabsOfVMUI), title) })
	evaluate[any](b, fmt.Sprintf(openTabOfVMUI, title))
}

// awaitPanels returns the panels on the page once there are so many and all show
// something.
func (b *browser) awaitPanels(t *testing.T, c *collector, n int) []panel {
	t.Helper()
	var panels []panel
	empty := func(p panel) bool { return len(p.Legend) == 0 }
	defer func() {
		if t.Failed() {
			t.Logf("the page shows %+v", panels)
		}
	}()
	c.await(t, fmt.Sprintf("%d panels with something in them", n), func() bool {
		panels = evaluate[[]panel](b, panelsOfVMUI)
		return len(panels) == n && !slices.ContainsFunc(panels, empty)
	})
	return panels
}

// lookAtPages looks at the dashboards and the diagnoses where the stores show them.
func lookAtPages(t *testing.T, c *collector, s backends, cast parts) {
	b := openBrowser(t)
	for _, name := range deploy.Names {
		t.Run("dashboard of the "+name, func(t *testing.T) {
			dashboard, err := deploy.ReadVMUI(name)
			require.NoError(t, err)
			var titles []string
			for _, row := range dashboard.Rows {
				for _, p := range row.Panels {
					titles = append(titles, p.Title)
				}
			}
			b.openDashboard(t, c, s, dashboard.Title, 9000)
			// The first row is not folded.
			b.awaitPanels(t, c, len(dashboard.Rows[0].Panels))
			evaluate[any](b, unfoldRowsOfVMUI)
			for i, p := range b.awaitPanels(t, c, len(titles)) {
				require.Equal(t, titles[i], p.Title)
				require.Empty(t, p.Alert, p.Title)
				if name != "host" {
					continue
				}
				for _, legend := range cast.shown()[p.Title] {
					require.True(t, slices.ContainsFunc(p.Legend, func(l string) bool { return strings.HasPrefix(l, legend) }),
						"%s shows %q, not %q", p.Title, p.Legend, legend)
				}
			}
		})
	}
	for label, sentence := range map[string]string{
		"starved":        "api-server (%d) waited ",
		"noisy_neighbor": "batch-job (%d) takes the CPU from ",
		"oom_risk":       "cache (%d) is on its way out of memory",
	} {
		t.Run("record of "+label, func(t *testing.T) {
			query := fmt.Sprintf("hotspot.diagnosis:=%s%%20process.pid:=%d", label, cast[label])
			b.open(t, s.logs.URL+"/select/vmui/?#/?query="+query+"&g0.range_input=15m&g0.relative_time=last_15_minutes", 2000)
			sentence := fmt.Sprintf(sentence, cast[label])
			c.await(t, sentence, func() bool { return strings.Contains(evaluate[string](b, "document.body.innerText"), sentence) })
		})
	}
	if folder := os.Getenv("HOTSPOT_PICTURES"); folder != "" {
		dashboard, err := deploy.ReadVMUI("host")
		require.NoError(t, err)
		b.openDashboard(t, c, s, dashboard.Title, 1100)
		b.awaitPanels(t, c, len(dashboard.Rows[0].Panels))
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "dashboard.png"), picture, 0o644))
	}
}
