package test

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rooms says what each room may import of this project: the arrows of
// docs/architecture.md. "*" is anything. A package below a room belongs to it.
var rooms = map[string][]string{
	"":                    {},
	"api":                 {"", "control"},
	"api/wire":            {""},
	"api/sigv4":           {""},
	"cloudshell":          {"", "control"},
	"control":             {""},
	"state":               {""},
	"results":             {""},
	"fleet":               {""},
	"agent":               {""},
	"datapath":            {""},
	"inventory":           {""},
	"receive":             {""},
	"daemon":              {},
	"internal/testnet":    {""},
	"internal/testserver": {"", "internal/sdkhttp"},
	"internal/sdkhttp":    {},
	"cmd/sluice":          {"*"},
	"test":                {"*"},
	"bench":               {"*"},
}

const module = "sluice"

// kernelModules may be used by these rooms alone: nobody else talks to BPF or
// netlink.
var kernelModules = map[string][]string{
	"github.com/cilium/ebpf":         {"datapath"},
	"github.com/vishvananda/netlink": {"datapath", "inventory", "internal/testnet"},
	"github.com/vishvananda/netns":   {"datapath", "inventory", "internal/testnet"},
	"go.etcd.io/etcd":                {"state"},
}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Dir          string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Dir", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for dec.More() {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		all = append(all, p)
	}
	return all
}

// roomOf names the room of one of our packages, and "?" when there is none.
func roomOf(path string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	for n := name; ; n = n[:strings.LastIndexByte(n, '/')] {
		if _, ok := rooms[n]; ok {
			return n
		}
		if !strings.Contains(n, "/") {
			return "?"
		}
	}
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func TestArrowsBetweenRoomsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		room := roomOf(p.ImportPath)
		if room == "?" {
			t.Errorf("package %s belongs to no room of the house", p.ImportPath)
			continue
		}
		allowed := rooms[room]
		for _, imp := range p.Imports {
			if !ours(imp) || slices.Contains(allowed, "*") {
				continue
			}
			if to := roomOf(imp); to != room && !strings.HasPrefix(to, room+"/") && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: room %q may import only %q", p.ImportPath, imp, room, allowed)
			}
		}
	}
}

func TestOnlyTheKernelRoomsTalkToTheKernel(t *testing.T) {
	for _, p := range packages(t) {
		room := roomOf(p.ImportPath)
		if room == "test" || room == "bench" {
			continue
		}
		for _, imp := range p.Imports {
			for mod, allowed := range kernelModules {
				if (imp == mod || strings.HasPrefix(imp, mod+"/")) && !slices.Contains(allowed, room) {
					t.Errorf("%s imports %s: only %q may", p.ImportPath, imp, allowed)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		doc, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("%s has no doc.go", p.ImportPath)
			continue
		}
		if !strings.Contains(strings.ReplaceAll(string(doc), "\n// ", " "), "must never") {
			t.Errorf("%s: doc.go does not say what the package must never do", p.ImportPath)
		}
	}
}

// sources walks the hand-written Go and C files of the repository.
func sources(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "bin" || name == "testdata" || name == "out" {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".c", ".h":
			if !strings.Contains(path, "_bpfel.") {
				visit(path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesStayUnder500Lines(t *testing.T) {
	sources(t, func(path string) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		lines := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			lines++
		}
		if lines >= 500 {
			t.Errorf("%s has %d lines", path, lines)
		}
	})
}

func TestFunctionsStayUnder80Lines(t *testing.T) {
	sources(t, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n >= 80 {
				t.Errorf("%s: func %s has %d lines", path, fn.Name.Name, n)
			}
		}
	})
}

func TestNoRegistrationAtInitAndNoVagueNames(t *testing.T) {
	sources(t, func(path string) {
		if filepath.Ext(path) != ".go" {
			return
		}
		for _, vague := range []string{"util", "utils", "common", "helper", "helpers", "manager"} {
			if strings.TrimSuffix(filepath.Base(path), ".go") == vague || filepath.Base(filepath.Dir(path)) == vague {
				t.Errorf("%s: a file is named for the noun in it", path)
			}
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s registers something in init()", path)
			}
		}
	})
}

// TestEachDirectDependencyHasItsReason keeps docs/dependencies.md true.
func TestEachDirectDependencyHasItsReason(t *testing.T) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	doc, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range strings.Fields(string(out)) {
		if !strings.Contains(string(doc), "`"+mod+"`") {
			t.Errorf("docs/dependencies.md does not name %s", mod)
		}
	}
}
