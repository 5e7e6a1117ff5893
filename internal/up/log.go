package up

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// logFile is a part's output: at most maxLog bytes, and as many in one predecessor.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File
	size int64
}

const (
	maxLog  = 16 << 20
	maxTail = 2 << 10
)

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write appends to the log, and begins a new file when this one is full.
func (l *logFile) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > maxLog {
		_ = l.file.Close()
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return 0, fmt.Errorf("put log aside: %w", err)
		}
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(text)
	l.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write log: %w", err)
	}
	return n, nil
}

// tail returns the last lines, for an error message.
func (l *logFile) tail() string {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	if len(text) > maxTail {
		text = text[len(text)-maxTail:]
		if _, after, ok := bytes.Cut(text, []byte("\n")); ok {
			text = after
		}
	}
	return string(text)
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
