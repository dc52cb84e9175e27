package api

import (
	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/wire"
)

// AuditLog reads the audit log.
type AuditLog interface {
	// Changes returns the latest changes and refused attempts, at most limit, the
	// newest last. One that is under way has the stage begin.
	Changes(limit int) ([]wire.AuditRecord, error)
}

const (
	auditPage = 50   // records by default
	auditMost = 1000 // and at most
)

// listAudit is GET /api/v1/audit?limit.
func (s *Server) listAudit(c echo.Context) (reply, error) {
	if s.cfg.AuditLog == nil {
		return reply{}, missing("the audit log is")
	}
	q, err := query(c, "limit")
	if err != nil {
		return reply{}, err
	}
	limit, err := limitOf(q, auditPage, auditMost)
	if err != nil {
		return reply{}, err
	}
	list, err := s.cfg.AuditLog.Changes(limit)
	if err != nil {
		return reply{}, err
	}
	if list == nil {
		list = []wire.AuditRecord{}
	}
	return reply{body: wire.List[wire.AuditRecord]{Items: list}}, nil
}
