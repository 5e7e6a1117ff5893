package apitest_test

import (
	"fmt"
	"go/constant"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// exported describes every exported name of a package, one line each for a constant, function, variable, type, field and method.
// exports has the files that the compiler made, by import path.
func exported(t *testing.T, path string, exports map[string]string) []string {
	t.Helper()
	p, err := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	}).Import(path)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{named: func(other *types.Package) string {
		if other == p {
			return ""
		}
		return other.Path() // two packages may have the same name
	}}
	for _, name := range p.Scope().Names() {
		if o := p.Scope().Lookup(name); o.Exported() {
			w.object(o)
		}
	}
	slices.Sort(w.lines)
	return w.lines
}

type writer struct {
	named types.Qualifier
	lines []string
}

func (w *writer) line(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

func (w *writer) object(o types.Object) {
	switch o := o.(type) {
	case *types.Const:
		w.line("%s = %s", types.ObjectString(o, w.named), exact(o.Val()))
	case *types.TypeName:
		w.typeName(o)
	default:
		w.line("%s", types.ObjectString(o, w.named))
	}
}

func exact(v constant.Value) string {
	if v.Kind() == constant.String {
		return v.String()
	}
	return v.ExactString()
}

func (w *writer) typeName(o *types.TypeName) {
	if o.IsAlias() {
		w.line("%s", types.ObjectString(o, w.named))
		return
	}
	switch under := o.Type().Underlying().(type) {
	case *types.Struct:
		comparable := ""
		if types.Comparable(o.Type()) {
			comparable = ", comparable"
		}
		w.line("type %s struct%s", o.Name(), comparable)
		w.fields(o.Name(), under)
		w.methods(o.Type())
	case *types.Interface:
		hidden := ""
		for m := range under.Methods() {
			if m.Exported() {
				w.line("method %s.%s%s", o.Name(), m.Name(), w.signature(m))
			} else {
				hidden = ", which no other package implements"
			}
		}
		w.line("type %s interface%s", o.Name(), hidden)
	default:
		w.line("%s", types.ObjectString(o, w.named))
		w.methods(o.Type())
	}
}

// fields writes the exported fields of a struct, with those of embedded structs whose own names are not exported.
func (w *writer) fields(of string, s *types.Struct) {
	for i := range s.NumFields() {
		f := s.Field(i)
		switch {
		case f.Exported():
			w.line("field %s.%s %s%s", of, f.Name(), types.TypeString(f.Type(), w.named), tag(s.Tag(i)))
		case f.Embedded():
			under := f.Type().Underlying()
			if p, ok := under.(*types.Pointer); ok {
				under = p.Elem().Underlying()
			}
			if promoted, ok := under.(*types.Struct); ok {
				w.fields(of, promoted)
			}
		}
	}
}

// tag is the name in JSON, which is a part of what others read.
func tag(text string) string {
	if name, ok := reflect.StructTag(text).Lookup("json"); ok {
		return fmt.Sprintf(" json:%q", name)
	}
	return ""
}

// methods writes the methods of values and pointers, promoted ones included.
func (w *writer) methods(of types.Type) {
	values := types.NewMethodSet(of)
	name := types.TypeString(of, w.named)
	for m := range types.NewMethodSet(types.NewPointer(of)).Methods() {
		if !m.Obj().Exported() {
			continue
		}
		receiver := "(*" + name + ")"
		if values.Lookup(m.Obj().Pkg(), m.Obj().Name()) != nil {
			receiver = "(" + name + ")"
		}
		w.line("method %s.%s%s", receiver, m.Obj().Name(), w.signature(m.Obj()))
	}
}

func (w *writer) signature(o types.Object) string {
	return strings.TrimPrefix(types.TypeString(o.Type(), w.named), "func")
}
