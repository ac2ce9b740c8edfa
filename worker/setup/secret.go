package setup

import (
	"fmt"
	"os"
	"strings"
)

// Secret is secrets.<name> in expressions: secrets.api_token is REDRIVE_SECRET_API_TOKEN.
func Secret(name string) (string, error) {
	variable := envPrefix + "SECRET_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	value, ok := os.LookupEnv(variable)
	if !ok {
		return "", fmt.Errorf("there is no secret %q: set %s where the worker (or dev) runs", name, variable)
	}
	return value, nil
}
