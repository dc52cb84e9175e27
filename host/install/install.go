package install

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Install installs a release, and returns when the plugin is stable: active, disabled,
// held or in need of approval. approve is the digest of the plan that the operator
// approves, if there is one (ApprovalError). If the same module is installed already, it
// repairs a damaged stored file and changes nothing else. After an error nothing has
// changed.
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

// Upgrade replaces an installed plugin's version by another release; the former version
// runs until the new one has started. It refuses another signer and a lower version. r
// names a source only if that is not the marketplace.
func (i *Installer) Upgrade(ctx context.Context, name string, r Request, approve string, report Report) (wire.Plugin, error) {
	done, c, e, err := i.beginOn(ctx, name, r.Precondition)
	if err != nil {
		return wire.Plugin{}, err
	}
	defer done()
	if !r.direct() && !strings.HasPrefix(e.Source, "marketplace ") {
		return wire.Plugin{}, fault.Field("url", "is required, or ref: %s was not installed from the marketplace, but from %s", name,
			e.Source)
	}
	r.Name, r.Publisher = name, e.Publisher
	return i.installRelease(ctx, r, approve, c, &e.Version, report)
}

// beginOn begins a change of an installed plugin, if precondition accepts the plugin as it
// is then. The caller calls done.
func (i *Installer) beginOn(ctx context.Context, name string, precondition func(wire.Plugin) error) (done func(), c change, e Entry,
	err error) {
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

// checkPrecondition returns the error of precondition, unless nil, for a plugin as it is.
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
	return Entry{}, fault.New(fault.Conflict, "%s was not installed: it is a file in a watched directory; replace or remove it there", name)
}

// installRelease resolves, downloads, checks and applies a release; former is nil for an
// installation.
func (i *Installer) installRelease(ctx context.Context, r Request, approve string, c change, former *Version,
	report Report) (wire.Plugin, error) {
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
	if want != "" { // before the download
		if p, done, err := i.existing(ctx, want, rel, c.lock, former); done || err != nil {
			return p, err
		}
	}
	content, added, err := i.obtain(ctx, rel, report)
	if err != nil {
		return wire.Plugin{}, err
	}
	if rel.Size > 0 && rel.Size != int64(content.Size()) {
		return wire.Plugin{}, i.refuse(rel, fault.New(fault.Invalid,
			"the module is %d bytes long, and the release says %d: it is not what it claims to be", content.Size(), rel.Size))
	}
	m, err := examine(rel, content, want)
	if err != nil {
		return wire.Plugin{}, i.refuse(rel, err)
	}
	if former != nil { // for a URL or a registry, only the module names the version
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
		return wire.Plugin{}, err // the download stays, for the approval; after a day it is removed
	}
	c.module, c.added = m.Artifact, added
	c.version = Version{Version: versionOf(rel, m), SHA256: rel.SHA256, Size: rel.Size, Owner: Owner{rel.Publisher, rel.SignedBy},
		Source:       rel.Source,
		Capabilities: spec.GrantsOf(m.manifest.Capabilities), Manifest: string(m.Section()), InstalledAt: i.cfg.Now().UTC()}
	p, err := i.apply(ctx, c, report)
	return p, i.refuse(rel, err)
}

// refuse removes the download of a rejected module, and returns the error. After another
// error the download stays, to be resumed.
func (i *Installer) refuse(rel Release, err error) error {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Trap:
		if tidy := i.store.remove(partPath(rel.SHA256)); tidy != nil {
			i.cfg.Logger.Warn("rejected download not removed", "error", tidy)
		}
	}
	return err
}

// existing handles a name that is installed already: done if it is the same module, an
// error if the name cannot be used.
func (i *Installer) existing(ctx context.Context, name string, rel Release, lock Lock, former *Version) (p wire.Plugin, done bool,
	err error) {
	e, known := lock.Plugins[name]
	switch {
	case former == nil && known && e.SHA256 != rel.SHA256:
		return p, false, fault.New(fault.Conflict,
			"install %s: there is a plugin of that name with other contents, %s from %s: upgrade it, or uninstall it first", name,
			e.label(), e.Source)
	case known && e.SHA256 == rel.SHA256 && i.store.verify(rel.SHA256) == nil:
		p, err = i.pin(ctx, name, rel.SHA256)
		return p, err == nil, err
	}
	if err := i.cfg.Plugins.Free(ctx, name); err != nil {
		return p, false, fmt.Errorf("install %s: %w", name, err)
	}
	if owner, kept := lock.Kept[name]; kept && !known && owner != (Owner{rel.Publisher, rel.SignedBy}) {
		return p, false, fault.New(fault.Conflict,
			"install %s: the stored data of the former plugin of that name, from %s, is still kept: purge it first (berth plugin "+
				"uninstall %s --purge)", name, owner, name)
	}
	return p, false, nil
}

// obtain returns the release's module from the store, or downloads it (added).
func (i *Installer) obtain(ctx context.Context, rel Release, report Report) (module spec.Artifact, added bool, err error) {
	if module, err = i.store.load(rel.SHA256, i.cfg.MaxSize); err == nil {
		return module, false, nil
	}
	module, err = i.download(ctx, rel, report)
	return module, true, err
}

// repair replaces the damaged stored file of an installed module.
func (i *Installer) repair(ctx context.Context, name, digest string, added bool, report Report) (wire.Plugin, error) {
	if added {
		report.say("store", 0, 0)
		if err := i.step("repair", func() error { return i.store.adopt(digest) }); err != nil {
			return wire.Plugin{}, fmt.Errorf("install %s: %w", name, err)
		}
	}
	report.say("start", 0, 0)
	return i.pin(ctx, name, digest)
}

// Rollback makes one of the last three former versions the current one: the one with this
// version or digest, or for "" the latest that no rollback has left. It needs no network
// and no approval: its capabilities were approved when it was installed, and grants
// removed since stay removed. precondition is as Request.Precondition.
func (i *Installer) Rollback(ctx context.Context, name, version string, precondition func(wire.Plugin) error,
	report Report) (wire.Plugin, error) {
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
		return wire.Plugin{}, fault.New(fault.Conflict,
			"roll back %s: there is no version before %s; it was rolled back from %s: name one of them to return to it", name,
			e.label(), strings.Join(have, ", "))
	case to == nil:
		return wire.Plugin{}, fault.New(fault.NotFound, "roll back %s: %q is none of its former versions: %s", name, version,
			strings.Join(have, ", "))
	}
	if c.module, err = i.store.load(to.SHA256, i.cfg.MaxSize); err != nil {
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s to %s: %w", name, to.label(), err)
	}
	if why := i.cfg.Revoked(to.SHA256); why != "" {
		return wire.Plugin{}, fault.New(fault.Conflict, "roll back %s to %s: %s", name, to.label(), why)
	}
	c.version = *to
	if !to.RolledBack { // a return to a version that was left leaves none
		c.left = left
	}
	c.version.InstalledAt = i.cfg.Now().UTC()
	return i.apply(ctx, c, report)
}
