// Package packaging tests what a release is made of, as those do who install it.
//
// HOTSPOT_RELEASE names the directory of a release that is signed by the key
// cosign.pub beside it; make test-release sets that.
package packaging

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// patience is how long a condition is awaited, and pace how often it is looked
// at. They measure nothing.
const (
	patience = 2 * time.Minute
	pace     = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	workload.Main()
	enter()
	os.Exit(m.Run())
}

var architectures = []string{"amd64", "arm64"}

// release is a directory with all that is published of a version.
type release struct {
	dir, version string
	files        []string
}

func released(t *testing.T) release {
	t.Helper()
	r := release{dir: os.Getenv("HOTSPOT_RELEASE")}
	if r.dir == "" {
		skip(t, "HOTSPOT_RELEASE does not name a release: run make test-release")
	}
	sums, err := os.ReadFile(filepath.Join(r.dir, "SHA256SUMS"))
	require.NoError(t, err)
	for line := range strings.Lines(string(sums)) {
		r.files = append(r.files, strings.Fields(line)[1])
	}
	var found bool
	r.version, _, found = strings.Cut(strings.TrimPrefix(r.files[0], "otelcol-hotspot_"), "_")
	require.True(t, found, r.files[0])
	return r
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" {
		require.Fail(t, why)
	}
	t.Skip(why)
}

// path returns that of a file for an architecture.
func (r release) path(architecture, ending string) string {
	return filepath.Join(r.dir, "otelcol-hotspot_"+r.version+"_linux_"+architecture+ending)
}

// architectures returns those it is of: make test-packages builds it for one.
func (r release) architectures() []string {
	return slices.DeleteFunc(slices.Clone(architectures), func(a string) bool {
		return !slices.Contains(r.files, filepath.Base(r.path(a, ".deb")))
	})
}

func (r release) image() string {
	return filepath.Join(r.dir, "otelcol-hotspot_"+r.version+"_image.tar")
}

func TestAReleaseIsComplete(t *testing.T) {
	r := released(t)
	want := []string{filepath.Base(r.image())}
	for _, architecture := range architectures {
		for _, ending := range []string{".tar.gz", ".deb", ".rpm", ".cdx.json"} {
			want = append(want, filepath.Base(r.path(architecture, ending)))
		}
	}
	require.ElementsMatch(t, want, r.files)
}

// commands returns those of the guide in the first block of code that names
// this.
func commands(t *testing.T, name string) string {
	t.Helper()
	guide, err := os.ReadFile("../docs/install.md")
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(guide), -1) {
		if strings.Contains(block[1], name) {
			return block[1]
		}
	}
	require.Fail(t, "the guide has no such commands", name)
	return ""
}

func TestVerifyingAReleaseAsTheGuideSays(t *testing.T) {
	r := released(t)
	check := commands(t, "--key cosign.pub")
	verify := func(dir string) (string, error) {
		cmd := exec.Command("sh", "-e", "-c", check)
		cmd.Dir = dir
		output, err := cmd.CombinedOutput()
		return string(output), err
	}
	// with returns a directory with the release in which one file is changed.
	with := func(t *testing.T, name string, change func([]byte) []byte) string {
		dir := t.TempDir()
		for _, file := range append([]string{"SHA256SUMS", "SHA256SUMS.sigstore.json", "cosign.pub"}, r.files...) {
			from, to := filepath.Join(r.dir, file), filepath.Join(dir, file)
			if file != name {
				require.NoError(t, os.Symlink(from, to))
				continue
			}
			content, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(to, change(content), 0o600))
		}
		return dir
	}
	same := func(content []byte) []byte { return content }
	flip := func(content []byte) []byte { content[len(content)/2] ^= 1; return content }

	output, err := verify(with(t, "", same))
	require.NoError(t, err, output)
	require.Contains(t, output, "Verified OK")
	require.Equal(t, len(r.files), strings.Count(output, ": OK\n"), output)

	t.Run("a changed package", func(t *testing.T) {
		file := filepath.Base(r.path("amd64", ".deb"))
		output, err := verify(with(t, file, flip))
		require.Error(t, err, output)
		require.Contains(t, output, file+": FAILED")
	})
	t.Run("changed checksums", func(t *testing.T) {
		output, err := verify(with(t, "SHA256SUMS", func(sums []byte) []byte { return append(sums, sums[:65]...) }))
		require.Error(t, err, output)
		require.NotContains(t, output, "OK")
	})
	t.Run("the key of somebody else", func(t *testing.T) {
		output, err := verify(with(t, "cosign.pub", func([]byte) []byte { return anotherKey(t) }))
		require.Error(t, err, output)
		require.NotContains(t, output, "OK")
	})
}

// Nobody but the workflow that publishes can sign so that this verifies: here,
// that the guide names that workflow.
func TestTheGuideNamesTheWorkflowThatSigns(t *testing.T) {
	identity := regexp.MustCompile(`--certificate-identity https://(\S+?)/(\.github/\S+)@refs/tags/v[0-9.]+ `)
	named := identity.FindStringSubmatch(commands(t, "--certificate-identity"))
	require.NotNil(t, named)
	module, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	require.Contains(t, string(module), "module "+named[1]+"\n")
	workflow, err := os.ReadFile(filepath.Join("..", named[2]))
	require.NoError(t, err)
	for _, some := range []string{`push: {tags: ["v*"]}`, "id-token: write", "run: make sign\n"} {
		require.Contains(t, string(workflow), some)
	}
}

func anotherKey(t *testing.T) []byte {
	t.Helper()
	cmd := exec.Command("cosign", "generate-key-pair")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "COSIGN_PASSWORD=")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	key, err := os.ReadFile(filepath.Join(cmd.Dir, "cosign.pub"))
	require.NoError(t, err)
	return key
}

// The binary of an architecture is the same in all that holds it, and runs.
func TestTheBinaryOfARelease(t *testing.T) {
	r := released(t)
	for _, architecture := range r.architectures() {
		t.Run(architecture, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), "otelcol-hotspot")
			archive := open(t, r.path(architecture, ".tar.gz"))
			unzipped, err := gzip.NewReader(archive)
			require.NoError(t, err)
			content := inTar(t, unzipped, "/otelcol-hotspot")
			require.NoError(t, os.WriteFile(binary, content, 0o700))

			deb, err := exec.Command("dpkg-deb", "--fsys-tarfile", r.path(architecture, ".deb")).Output()
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, inTar(t, bytes.NewReader(deb), "/usr/bin/otelcol-hotspot")), "of the .deb")
			sum := checksum(t, binary)
			r.requireBinary(t, architecture, sum)

			info, err := buildinfo.ReadFile(binary)
			require.NoError(t, err)
			require.Contains(t, info.Settings, setting("GOARCH", architecture))
			require.Contains(t, info.Settings, setting("CGO_ENABLED", "0"))
			r.checkSBOM(t, architecture, info, sum)

			run := func(args ...string) string {
				cmd := exec.Command(binary, args...)
				if architecture != runtime.GOARCH {
					cmd = exec.Command(emulator[architecture], append([]string{binary}, args...)...)
				}
				output, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", output)
				return string(output)
			}
			require.Equal(t, "otelcol-hotspot version "+r.version+"\n", run("--version"))
			run("validate", "--config=config.yaml")
		})
	}
}

var emulator = map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}

func setting(key, value string) debug.BuildSetting {
	return debug.BuildSetting{Key: key, Value: value}
}

// checkSBOM compares the SBOM with the binary that it is of, and with what the
// linker wrote down there.
func (r release) checkSBOM(t *testing.T, architecture string, info *buildinfo.BuildInfo, sum string) {
	t.Helper()
	var sbom struct {
		BOMFormat string
		Metadata  struct {
			Component struct {
				Ref     string `json:"bom-ref"`
				Version string
			}
			Properties []struct{ Name, Value string }
		}
		Components []struct {
			Ref                 string `json:"bom-ref"`
			Name, Version, PURL string
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	content, err := os.ReadFile(r.path(architecture, ".cdx.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &sbom))
	require.Equal(t, "CycloneDX", sbom.BOMFormat)
	require.Equal(t, r.version, sbom.Metadata.Component.Version)
	require.Contains(t, sbom.Metadata.Properties, struct{ Name, Value string }{"cdx:gomod:binary:hash:SHA-256", sum})

	refs := map[string]bool{sbom.Metadata.Component.Ref: true}
	listed, linked := map[string]string{}, map[string]string{"std": info.GoVersion}
	for _, c := range sbom.Components {
		require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@"+c.Version+"?"), c.PURL)
		listed[c.Name] = c.Version
		refs[c.Ref] = true
	}
	for _, m := range info.Deps {
		linked[m.Path] = m.Version
		if m.Replace != nil { // the receiver, from the checkout
			linked[m.Path] = "v" + r.version
		}
	}
	require.Equal(t, linked, listed)
	for _, d := range sbom.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			require.Contains(t, refs, ref)
		}
	}
}

func TestTheSameSourceGivesTheSameRelease(t *testing.T) {
	r := released(t)
	elsewhere := filepath.Join(t.TempDir(), "somewhere", "else")
	listed, err := exec.Command("git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	require.NoError(t, err)
	for file := range strings.Lines(string(listed)) {
		file = strings.TrimSuffix(file, "\n")
		to := filepath.Join(elsewhere, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		cp := exec.Command("cp", "--no-dereference", filepath.Join("..", file), to)
		output, err := cp.CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	// One architecture: what could differ is the same for all.
	build := exec.Command("make", "-C", elsewhere, "release", "ARCHES="+runtime.GOARCH, "VERSION="+r.version,
		"SOURCE_DATE_EPOCH="+os.Getenv("SOURCE_DATE_EPOCH"))
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	again := release{dir: filepath.Join(elsewhere, "_build/release"), version: r.version}
	for _, ending := range []string{".tar.gz", ".deb", ".rpm", ".cdx.json"} {
		require.Equal(t, checksum(t, r.path(runtime.GOARCH, ending)), checksum(t, again.path(runtime.GOARCH, ending)), ending)
	}
	require.Subset(t, blobs(t, r.image()), blobs(t, again.image()), "layers of the image")
}

func checksum(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	require.NoError(t, err)
	return hex.EncodeToString(sum.Sum(nil))
}

// blobs returns what an image is made of, but for the index of its
// architectures.
func blobs(t *testing.T, image string) []string {
	t.Helper()
	var all []string
	for entries := tar.NewReader(bufio.NewReader(open(t, image))); ; {
		header, err := entries.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if header.Size > 0 && strings.HasPrefix(header.Name, "./blobs/") {
			content, err := io.ReadAll(entries)
			require.NoError(t, err)
			if !bytes.Contains(content[:min(200, len(content))], []byte("image.index")) {
				all = append(all, header.Name)
			}
		}
	}
	require.NotEmpty(t, all)
	slices.Sort(all)
	return all
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// inTar returns the file whose path ends so.
func inTar(t *testing.T, archive io.Reader, ending string) []byte {
	t.Helper()
	for entries := tar.NewReader(archive); ; {
		header, err := entries.Next()
		require.NoError(t, err, "no %s", ending)
		if header.Typeflag == tar.TypeReg && strings.HasSuffix(header.Name, ending) {
			content, err := io.ReadAll(entries)
			require.NoError(t, err)
			return content
		}
	}
}

// requireBinary compares the checksum of a binary with that in the .rpm.
func (r release) requireBinary(t *testing.T, architecture, sum string) {
	t.Helper()
	require.Contains(t, query(t, r.path(architecture, ".rpm"), "[%{FILENAMES} %{FILEDIGESTS}\n]"), "/usr/bin/otelcol-hotspot "+sum+"\n")
}

// query asks a .rpm.
func query(t *testing.T, rpm, format string) string {
	t.Helper()
	output, err := exec.Command("rpm", "--query", "--package", "--queryformat", format, rpm).Output()
	require.NoError(t, err, fmt.Sprint(rpm))
	return string(output)
}
