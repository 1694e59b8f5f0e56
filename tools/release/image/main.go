// Command image writes the container image as an OCI layout: an index of one
// image for each architecture, each from scratch.
//
//	image -version 0.1.0 -created 1700000000 -config config.yaml -o layout amd64=path/of/binary arm64=...
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	source = "https://github.com/hotspot-otel/hotspot"
	name   = "ghcr.io/hotspot-otel/otelcol-hotspot"

	// Where the Helm chart of the collector looks for it.
	binaryPath = "otelcol-hotspot"
	configPath = "etc/otelcol-hotspot/config.yaml"
	rootsPath  = "etc/ssl/certs/ca-certificates.crt"
)

func main() {
	log.SetFlags(0)
	version := flag.String("version", "", "of the collector")
	created := flag.Int64("created", 0, "time in the image, in seconds since 1970")
	config := flag.String("config", "", "what the collector does by default")
	output := flag.String("o", "", "directory of the layout; must not exist")
	flag.Parse()
	if err := write(*output, *config, *version, time.Unix(*created, 0).UTC(), flag.Args()); err != nil {
		log.Fatal("image: ", err)
	}
}

func write(output, configFile, version string, created time.Time, binaries []string) error {
	config, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	labels := map[string]string{
		"org.opencontainers.image.title":    "otelcol-hotspot",
		"org.opencontainers.image.version":  version,
		"org.opencontainers.image.source":   source,
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, of := range binaries {
		architecture, path, _ := strings.Cut(of, "=")
		binary, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		image, err := build(architecture, created, labels, []file{
			{configPath, 0o644, config},
			{rootsPath, 0o644, roots()},
			{binaryPath, 0o755, binary},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	index = mutate.Annotations(index, labels).(v1.ImageIndex)

	to, err := layout.Write(output, empty.Index)
	if err != nil {
		return err
	}
	return to.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": version,
		"io.containerd.image.name":          name + ":" + version,
	}))
}

func build(architecture string, created time.Time, labels map[string]string, files []file) (v1.Image, error) {
	packed, err := pack(files, created)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: created}, CreatedBy: source},
	})
	if err != nil {
		return nil, err
	}
	made, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	c := made.DeepCopy()
	c.OS, c.Architecture, c.Created = "linux", architecture, v1.Time{Time: created}
	c.Config = v1.Config{
		Entrypoint: []string{"/" + binaryPath},
		Cmd:        []string{"--config=/" + configPath, "--config=yaml:receivers::hotspot::root_path: /hostfs"},
		// The loopback address is the container's own.
		Env:          []string{"PROMETHEUS_LISTEN=0.0.0.0:9464"},
		ExposedPorts: map[string]struct{}{"9464/tcp": {}},
		// Capabilities that are added to a container are those of root alone.
		User:       "0:0",
		WorkingDir: "/",
		Labels:     labels,
	}
	return mutate.ConfigFile(image, c)
}

type file struct {
	path    string
	mode    int64
	content []byte
}

// pack returns the files as a tar archive, with the directories above them.
func pack(files []file, modified time.Time) ([]byte, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	made := map[string]bool{}
	for _, f := range files {
		for i, c := range f.path {
			if dir := f.path[:i]; c == '/' && !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(&tar.Header{
					Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: modified,
				}); err != nil {
					return nil, err
				}
			}
		}
		if err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.path, Size: int64(len(f.content)), Mode: f.mode, ModTime: modified,
		}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return archive.Bytes(), err
}

// roots returns Mozilla's certificates, which an image from scratch has none of.
// Those with a constraint are left out: a file cannot say it.
func roots() []byte {
	var all bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return all.Bytes()
}
