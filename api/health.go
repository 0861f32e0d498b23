package api

import "net/http"

// health tells that the process answers. It says nothing of what is below: a gateway that waits for its disk is not
// mended by being killed.
func (a *API) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"ok", a.cfg.Version})
}

// readiness tells whether requests should be sent here.
func (a *API) readiness(w http.ResponseWriter, r *http.Request) {
	if err := a.cfg.Ready(); err != nil {
		a.log.Warn("not ready", "error", err)
		a.refuse(w, r, *kindNotReady.is("The gateway does not take writes now."))
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ready"})
}

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(a.cfg.OpenAPI)
}
