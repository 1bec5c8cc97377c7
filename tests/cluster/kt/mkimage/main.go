// mkimage writes a container image of one layer, as an archive for "ctr images
// import", out of files of this machine. The same files make the same archive,
// byte by byte.
//
//	mkimage -name NAME:TAG -out FILE.tar [flags] ENTRY...
//
// An entry is PATH=FILE (a file; the libraries of a dynamic program come along),
// PATH->TARGET (a symlink), or PATH/=MODE (a folder with that octal mode).
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mkimage: ")
	name := flag.String("name", "", "name and tag of the image")
	out := flag.String("out", "", "file to write")
	entrypoint := flag.String("entrypoint", "", "program that the image runs")
	user := flag.String("user", "", "UID:GID that it runs as")
	search := flag.String("path", "/usr/local/bin:/usr/bin:/bin", "PATH in the image")
	flag.Parse()
	if *name == "" || *out == "" {
		log.Fatal("-name and -out are needed")
	}

	layer := archive(readTree(flag.Args()))
	config := settings{Env: []string{"PATH=" + *search}, User: *user}
	if *entrypoint != "" {
		config.Entrypoint = []string{*entrypoint}
	}
	if err := os.WriteFile(*out, archive(image(*name, layer, config)), 0o644); err != nil {
		log.Fatal(err)
	}
}

// A tree is what an archive holds: path (no slash before it) to entry.
type tree map[string]entry

type entry struct {
	kind    byte // as in tar
	mode    int64
	content []byte
	target  string // of a symlink
}

func readTree(args []string) tree {
	t := tree{}
	for _, arg := range args {
		if err := t.add(arg); err != nil {
			log.Fatalf("entry %q: %v", arg, err)
		}
	}
	t.addParents()
	return t
}

func (t tree) add(arg string) error {
	if link, target, ok := strings.Cut(arg, "->"); ok {
		t.put(link, entry{kind: tar.TypeSymlink, mode: 0o777, target: target})
		return nil
	}
	path, from, ok := strings.Cut(arg, "=")
	if !ok {
		return fmt.Errorf("is none of PATH=FILE, PATH->TARGET, PATH/=MODE")
	}
	if strings.HasSuffix(path, "/") {
		mode, err := strconv.ParseInt(from, 8, 64)
		t.put(path, entry{kind: tar.TypeDir, mode: mode})
		return err
	}
	return t.addFile(path, from)
}

// libraryPath finds the paths in lines like "libc.so.6 => /lib/libc.so.6 (0x7f…)".
var libraryPath = regexp.MustCompile(`(/\S+) \(0x`)

func (t tree) addFile(path, from string) error {
	files := map[string]string{path: from}
	// ldd fails on what is no dynamic program; that has no libraries.
	libraries, _ := exec.Command("ldd", from).Output()
	for _, match := range libraryPath.FindAllSubmatch(libraries, -1) {
		files[string(match[1])] = string(match[1])
	}
	for path, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		info, err := os.Stat(from)
		if err != nil {
			return err
		}
		t.put(path, entry{kind: tar.TypeReg, mode: modeFor(info.Mode()), content: content})
	}
	return nil
}

// modeFor drops what an umask may have taken away or added.
func modeFor(mode fs.FileMode) int64 {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

func (t tree) put(path string, e entry) { t[strings.Trim(path, "/")] = e }

func (t tree) addParents() {
	for _, file := range slices.Collect(maps.Keys(t)) {
		for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
			if _, ok := t[dir]; !ok {
				t[dir] = entry{kind: tar.TypeDir, mode: 0o755}
			}
		}
	}
}

func archive(t tree) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, path := range slices.Sorted(maps.Keys(t)) {
		e := t[path]
		header := &tar.Header{Typeflag: e.kind, Name: path, Mode: e.mode, Size: int64(len(e.content)), Linkname: e.target}
		if err := w.WriteHeader(header); err != nil {
			log.Fatalf("%s: %v", path, err)
		}
		if _, err := w.Write(e.content); err != nil {
			log.Fatalf("%s: %v", path, err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return out.Bytes()
}

type settings struct {
	Entrypoint []string `json:",omitempty"`
	Env        []string
	User       string `json:",omitempty"`
}

// image is the archive that "docker save" writes.
func image(name string, layer []byte, s settings) tree {
	type object = map[string]any
	config := toJSON(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       s,
		"rootfs":       object{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
	})
	file := sum(config) + ".json"
	manifest := toJSON([]object{{"Config": file, "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	plain := func(content []byte) entry { return entry{kind: tar.TypeReg, mode: 0o644, content: content} }
	return tree{file: plain(config), "layer.tar": plain(layer), "manifest.json": plain(manifest)}
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	return b
}
