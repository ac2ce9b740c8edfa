package digdag

import (
	"regexp"

	"github.com/gin-gonic/gin"
)

// version is that of Digdag whose API this is.
const version = "0.10.5.1"

func (h *handlers) getVersion(c *gin.Context) error {
	return answer(c, struct {
		Version string `json:"version"`
	}{version})
}

var clientVersion = regexp.MustCompile(`^\d+(\.\d+)*(-[\w.-]+)?$`)

// checkVersion is what every command of Digdag's client asks first. Clients of the documented API are compatible, whichever version they have.
func (h *handlers) checkVersion(c *gin.Context) error {
	if client := c.Query("client"); !clientVersion.MatchString(client) {
		return refuse("client is %q; allowed: a version, as 0.10.5.1", client)
	}
	return answer(c, struct {
		ServerVersion      string `json:"serverVersion"`
		UpgradeRecommended bool   `json:"upgradeRecommended"`
		APICompatible      bool   `json:"apiCompatible"`
	}{version, false, true})
}
