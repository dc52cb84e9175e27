package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
)

const (
	tries      = 3         // to resume a download, in a row without a byte
	allTries   = 20        // to resume a download, in total
	reportEach = 256 << 10 // bytes between reports
)

// download downloads a release's module into a file beside the store, resuming an
// interrupted download, and returns the module, which has the release's digest. It removes
// a file with wrong contents; an incomplete one stays.
func (i *Installer) download(ctx context.Context, rel Release, report Report) (spec.Artifact, error) {
	if rel.Size > i.cfg.MaxSize {
		return spec.Artifact{}, &fault.Error{Code: fault.Exhausted, Field: "url",
			Reason: fmt.Sprintf("the module is %d bytes long: the limit is %d", rel.Size, i.cfg.MaxSize)}
	}
	if err := i.store.makeDir(partDir); err != nil {
		return spec.Artifact{}, coded(err)
	}
	i.dropOldParts(rel.SHA256)
	for again := false; ; again = true {
		content, resumed, err := i.fetch(ctx, rel, report)
		if err != nil {
			if resumed && !again && wrong(err) {
				continue // the former part, which fetch has removed, may have been wrong
			}
			return spec.Artifact{}, err
		}
		got := content.SHA256()
		if got == rel.SHA256 {
			return content.Artifact(), nil
		}
		if err := i.store.remove(partPath(rel.SHA256)); err != nil {
			return spec.Artifact{}, coded(err)
		}
		if !resumed || again { // likewise
			return spec.Artifact{}, fault.Field("sha256",
				"the module from %s has the SHA-256 %s instead of %s: it is another version, or was changed", rel.Source, got, rel.SHA256)
		}
	}
}

// part is a download under way: its file, and the same bytes in memory.
type part struct {
	*spec.Collector
	f      *os.File
	limit  int64
	shown  int64
	total  int64
	report Report
	err    error // of the disk, or of the limit
}

func (p *part) size() int64 { return int64(p.Len()) }

// Write implements io.Writer.
func (p *part) Write(b []byte) (int, error) {
	if p.size()+int64(len(b)) > p.limit {
		p.err = &fault.Error{Code: fault.Exhausted, Field: "url",
			Reason: fmt.Sprintf("the module is over %d bytes, which is the limit or what the release says", p.limit)}
		return 0, p.err
	}
	n, err := p.f.Write(b)
	_, _ = p.Collector.Write(b[:n])
	if err != nil {
		p.err = coded(err)
	}
	if p.size()-p.shown >= reportEach || p.size() == p.total {
		p.shown = p.size()
		p.report.say("download", p.size(), p.total)
	}
	return n, err
}

// fetch completes the download's file, and removes it if it cannot become right. resumed
// means that the bytes are from several responses.
func (i *Installer) fetch(ctx context.Context, rel Release, report Report) (content *spec.Collector, resumed bool, err error) {
	f, err := i.openPart(rel.SHA256)
	if err != nil {
		return nil, false, coded(err)
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = coded(closing)
		}
	}()
	p := &part{f: f, Collector: spec.NewCollector(), limit: i.cfg.MaxSize, total: rel.Size, report: report}
	if rel.Size > 0 {
		p.limit = rel.Size
	}
	if _, err := io.Copy(p.Collector, io.LimitReader(f, p.limit+1)); err != nil {
		return nil, false, coded(err)
	}
	if p.size() > p.limit {
		p.Reset()
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, false, coded(err)
		}
		if err := f.Truncate(0); err != nil {
			return nil, false, coded(err)
		}
	}
	resumed = p.size() > 0
	report.say("download", p.size(), p.total)
	for all, failed := 0, 0; p.SHA256() != rel.SHA256; all++ {
		before := p.size()
		resumed = resumed || before > 0
		err := i.read(ctx, rel, p)
		switch {
		case p.err != nil:
			if fault.Is(p.err, fault.Exhausted) { // resuming would not help
				_ = i.store.remove(partPath(rel.SHA256))
			}
			return nil, resumed, p.err
		case err == nil && (rel.Size == 0 || p.size() == rel.Size):
			return p.Collector, resumed, nil // complete, or wrong
		case err == nil:
			err = fault.New(fault.Unavailable, "%s ends after %d of %d bytes", rel.Source, p.size(), rel.Size)
		case !temporary(err):
			if wrong(err) { // likewise
				_ = i.store.remove(partPath(rel.SHA256))
			}
			return nil, resumed, err
		}
		if p.size() > before {
			failed = 0
		}
		if failed++; failed >= tries || all >= allTries {
			return nil, resumed, err
		}
		pause := time.NewTimer(i.cfg.Backoff << min(failed-1, 6))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil, resumed, fault.New(fault.Timeout, "download %s: %w", rel.Source, ctx.Err())
		}
	}
	return p.Collector, resumed, nil
}

// read reads from the source, from the end of the part on.
func (i *Installer) read(ctx context.Context, rel Release, p *part) error {
	from, err := i.cfg.Source.Open(ctx, rel, p.size())
	if err != nil {
		return err
	}
	// One byte above the limit shows that there is more.
	_, err = io.Copy(struct{ io.Writer }{p}, io.LimitReader(from, p.limit-p.size()+1))
	return errors.Join(err, from.Close())
}

// temporary reports whether a download can be resumed after the error.
func temporary(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	code := fault.CodeOf(err)
	return code == fault.Unavailable || code == fault.Timeout || code == fault.Internal
}

// wrong reports whether the error says that the bytes are not acceptable.
func wrong(err error) bool { return fault.Is(err, fault.Denied) || fault.Is(err, fault.Invalid) }

// openPart opens or creates the file of a download.
func (i *Installer) openPart(digest string) (*os.File, error) {
	f, err := i.store.open(partPath(digest), os.O_RDWR)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, err = i.store.root.OpenFile(partPath(digest), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the download's file: %w", err)
	}
	return f, nil
}
