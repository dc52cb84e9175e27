package install

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Install makes a plugin of a release, which has come to rest when it returns:
// active, disabled, held or in need of approval. approve is the digest of the
// plan that the operator agrees to, if there is one (ApprovalError). What is
// installed already with the same contents is not installed again, but mended if
// its stored file is damaged. After an error nothing has changed.
func (i *Installer) Install(ctx context.Context, r Request, approve string, report Report) (wire.Plugin, error) {
	done, err := i.begin(ctx)
	if err != nil {
		return wire.Plugin{}, err
	}
	defer done()
	lock, raw, err := i.readLock()
	if err != nil {
		return wire.Plugin{}, err
	}
	return i.installRelease(ctx, r, approve, change{lock: lock, raw: raw}, nil, report)
}

// Upgrade puts another release in the place of an installed plugin's, which goes
// on until the new one has started. Another signer and a lower version are
// refused. r says from where only if that is not the marketplace.
func (i *Installer) Upgrade(ctx context.Context, name string, r Request, approve string, report Report) (wire.Plugin, error) {
	done, c, e, err := i.beginOn(ctx, name, r.Precondition)
	if err != nil {
		return wire.Plugin{}, err
	}
	defer done()
	if !r.direct() && !strings.HasPrefix(e.Source, "marketplace ") {
		return wire.Plugin{}, fault.Field("url", "is required, or ref: %s was not installed from the marketplace, but from %s", name, e.Source)
	}
	r.Name, r.Publisher = name, e.Publisher
	return i.installRelease(ctx, r, approve, c, &e.Version, report)
}

// beginOn begins a change of an installed plugin, if that is agreed to of the plugin
// as it is then. The caller calls done.
func (i *Installer) beginOn(ctx context.Context, name string, precondition func(wire.Plugin) error) (done func(), c change, e Entry, err error) {
	if done, err = i.begin(ctx); err != nil {
		return nil, change{}, Entry{}, err
	}
	c.name = name
	if c.lock, c.raw, err = i.readLock(); err == nil {
		e, err = i.installed(c.lock, name)
	}
	if err == nil {
		err = i.checkPrecondition(name, precondition)
	}
	if err != nil {
		done()
		return nil, change{}, Entry{}, err
	}
	return done, c, e, nil
}

// checkPrecondition shows a plugin as it is to who may refuse to change it, if anybody.
func (i *Installer) checkPrecondition(name string, precondition func(wire.Plugin) error) error {
	if precondition == nil {
		return nil
	}
	p, err := i.cfg.Plugins.Plugin(name)
	if err != nil {
		return err
	}
	return precondition(p)
}

// installed finds a plugin in the lock.
func (i *Installer) installed(lock Lock, name string) (Entry, error) {
	if e, ok := lock.Plugins[name]; ok {
		return e, nil
	}
	if _, err := i.cfg.Plugins.Plugin(name); err != nil {
		return Entry{}, err
	}
	return Entry{}, fault.New(fault.Conflict, "%s was not installed: it is a file of a watched directory, which you replace or remove there", name)
}

// bring resolves, fetches, checks and applies; former is nil for an installation.
func (i *Installer) installRelease(ctx context.Context, r Request, approve string, c change, former *Version, report Report) (wire.Plugin, error) {
	report.say("resolve", 0, 0)
	rel, err := i.cfg.Source.Resolve(ctx, r)
	if err != nil {
		return wire.Plugin{}, err
	}
	if lower, ok := lowerDigest(rel.SHA256); ok {
		rel.SHA256 = lower
	}
	if err := i.checkRelease(r, rel, former); err != nil {
		return wire.Plugin{}, err
	}
	want := r.Name
	if rel.Name != "" {
		want = rel.Name
	}
	if want != "" { // before anything is fetched
		if p, done, err := i.existing(ctx, want, rel, c.lock, former); done || err != nil {
			return p, err
		}
	}
	content, added, err := i.obtain(ctx, rel, report)
	if err != nil {
		return wire.Plugin{}, err
	}
	if rel.Size > 0 && rel.Size != int64(content.Size()) {
		return wire.Plugin{}, i.refuse(rel, fault.New(fault.Invalid, "the module is %d bytes long, and the release says %d: it is not what it claims to be", content.Size(), rel.Size))
	}
	m, err := examine(rel, content, want)
	if err != nil {
		return wire.Plugin{}, i.refuse(rel, err)
	}
	if former != nil { // of a URL and a registry only the module says which version it is
		if err := checkVersion(r, versionOf(rel, m), rel.SHA256, *former); err != nil {
			return wire.Plugin{}, err
		}
	}
	c.name = m.name
	if p, done, err := i.existing(ctx, m.name, rel, c.lock, former); done || err != nil {
		return p, err
	}
	report.say("vet", 0, 0)
	if err := i.cfg.Vetter.Vet(ctx, content); err != nil {
		return wire.Plugin{}, i.refuse(rel, rejected(m.name, err))
	}
	if was, ok := c.lock.Plugins[m.name]; ok && was.SHA256 == rel.SHA256 {
		return i.repair(ctx, m.name, rel.SHA256, added, report)
	}
	rel.Size = int64(content.Size())
	if c.admit, err = i.approve(rel, m, former, c.lock, approve); err != nil {
		return wire.Plugin{}, err // the download stays: the approval follows, or a day later it goes
	}
	c.module, c.added = m.Artifact, added
	c.version = Version{Version: versionOf(rel, m), SHA256: rel.SHA256, Size: rel.Size, Owner: Owner{rel.Publisher, rel.SignedBy}, Source: rel.Source,
		Capabilities: spec.GrantsOf(m.manifest.Capabilities), Manifest: string(m.Section()), InstalledAt: i.cfg.Now().UTC()}
	p, err := i.apply(ctx, c, report)
	return p, i.refuse(rel, err)
}

// refuse removes the download of a module that is no good, and returns the
// error. One that was broken off for another reason stays, to be gone on with.
func (i *Installer) refuse(rel Release, err error) error {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Trap:
		if tidy := i.store.remove(partPath(rel.SHA256)); tidy != nil {
			i.cfg.Logger.Warn("remove a refused download", "error", tidy)
		}
	}
	return err
}

// settled answers for a name that needs nothing more, or cannot be had.
func (i *Installer) existing(ctx context.Context, name string, rel Release, lock Lock, former *Version) (p wire.Plugin, done bool, err error) {
	e, known := lock.Plugins[name]
	switch {
	case former == nil && known && e.SHA256 != rel.SHA256:
		return p, false, fault.New(fault.Conflict, "install %s: there is a plugin of that name with other contents, %s from %s: upgrade it, or uninstall it first", name, e.label(), e.Source)
	case known && e.SHA256 == rel.SHA256 && i.store.verify(rel.SHA256) == nil:
		p, err = i.cfg.Plugins.Pin(ctx, i.pinOf(name, rel.SHA256))
		return p, err == nil, err
	}
	if err := i.cfg.Plugins.Free(ctx, name); err != nil {
		return p, false, fmt.Errorf("install %s: %w", name, err)
	}
	if owner, kept := lock.Kept[name]; kept && !known && owner != (Owner{rel.Publisher, rel.SignedBy}) {
		return p, false, fault.New(fault.Conflict, "install %s: what the former plugin of that name has stored is still kept, and that one was from %s: purge it first (berth plugin uninstall %s --purge)", name, owner, name)
	}
	return p, false, nil
}

// obtain returns the release's module: out of the store, or fetched (added).
func (i *Installer) obtain(ctx context.Context, rel Release, report Report) (module spec.Artifact, added bool, err error) {
	if module, err = i.store.load(rel.SHA256, i.cfg.MaxSize); err == nil {
		return module, false, nil
	}
	module, err = i.download(ctx, rel, report)
	return module, true, err
}

// mend puts a module again into the store that is installed, but was damaged there.
func (i *Installer) repair(ctx context.Context, name, digest string, added bool, report Report) (wire.Plugin, error) {
	if added {
		report.say("store", 0, 0)
		if err := i.step("mend", func() error { return i.store.adopt(digest) }); err != nil {
			return wire.Plugin{}, fmt.Errorf("install %s: %w", name, err)
		}
	}
	report.say("start", 0, 0)
	return i.cfg.Plugins.Pin(ctx, i.pinOf(name, digest))
}

// Rollback puts one of the last three former versions in the place of the one
// that runs: the one with this version or digest, "" for the one before it that no
// rollback has left. It needs
// no network, and no approval: what the former version may do was agreed to when
// it was installed, and what has been taken back since stays so. agreed is as
// Request.Agreed.
func (i *Installer) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error, report Report) (wire.Plugin, error) {
	done, c, e, err := i.beginOn(ctx, name, precondition)
	if err != nil {
		return wire.Plugin{}, err
	}
	defer done()
	var to *Version
	var have []string
	left := []string{e.SHA256}
	for n, v := range e.Former {
		if to == nil {
			if version == "" && !v.RolledBack || version != "" && (v.Version == version || v.SHA256 == version) {
				to = &e.Former[n]
			} else {
				left = append(left, v.SHA256)
			}
		}
		have = append(have, v.label())
	}
	switch {
	case len(have) == 0:
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s: there is no former version of it", name)
	case to == nil && version == "":
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s: there is no version before %s; it was rolled back from %s: name one of them to return to it", name, e.label(), strings.Join(have, ", "))
	case to == nil:
		return wire.Plugin{}, fault.New(fault.NotFound, "roll back %s: %q is none of its former versions: %s", name, version, strings.Join(have, ", "))
	}
	if c.module, err = i.store.load(to.SHA256, i.cfg.MaxSize); err != nil {
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s to %s: %w", name, to.label(), err)
	}
	if why := i.cfg.Revoked(to.SHA256); why != "" {
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s to %s: %s", name, to.label(), why)
	}
	c.version = *to
	if !to.RolledBack { // who returns to one that was left gives up nothing
		c.left = left
	}
	c.version.InstalledAt = i.cfg.Now().UTC()
	return i.apply(ctx, c, report)
}
