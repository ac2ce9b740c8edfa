package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

const minimum = "6.2"

type redisServer struct{ path, version string }

// places where package managers put servers that are not on every PATH.
var places = []string{"redis-server", "/usr/local/bin/redis-server", "/opt/homebrew/bin/redis-server", "/usr/sbin/redis-server"}

// installer is a package manager and the commands that bring redis-server.
type installer struct {
	tool     string
	asRoot   bool
	commands [][]string
}

var installers = []installer{
	{"apt-get", true, [][]string{{"apt-get", "update"}, {"apt-get", "install", "-y", "redis-server"}}},
	{"apk", true, [][]string{{"apk", "add", "--no-cache", "redis"}}},
	{"dnf", true, [][]string{{"dnf", "install", "-y", "redis"}}},
	{"pacman", true, [][]string{{"pacman", "-Sy", "--noconfirm", "redis"}}},
	{"zypper", true, [][]string{{"zypper", "--non-interactive", "install", "redis"}}},
	{"brew", false, [][]string{{"brew", "install", "redis"}}},
}

// ensureRedis finds a redis-server that is new enough, or installs one.
func ensureRedis(ctx context.Context) (redisServer, error) {
	found, err := findRedis(ctx)
	if err == nil || !errors.Is(err, exec.ErrNotFound) {
		return found, err
	}
	stepf("no redis-server on this machine; the tests need one (%s or newer) to run against", minimum)
	if err := install(ctx); err != nil {
		return redisServer{}, err
	}
	return findRedis(ctx)
}

func findRedis(ctx context.Context) (redisServer, error) {
	for _, place := range places {
		path, err := exec.LookPath(place)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return redisServer{}, fmt.Errorf("%s --version: %w", path, err)
		}
		version, err := parseVersion(string(out))
		if err != nil {
			return redisServer{}, fmt.Errorf("%s: %w", path, err)
		}
		if !newEnough(version) {
			return redisServer{}, fmt.Errorf("%s is version %s, and %s or newer is needed: install a newer one (https://redis.io/docs/install) and put it first on PATH", path, version, minimum)
		}
		return redisServer{path, version}, nil
	}
	return redisServer{}, fmt.Errorf("redis-server: %w", exec.ErrNotFound)
}

var versionPattern = regexp.MustCompile(`v=(\d+\.\d+(?:\.\d+)?)`)

func parseVersion(output string) (string, error) {
	match := versionPattern.FindStringSubmatch(output)
	if match == nil {
		return "", fmt.Errorf("cannot read a version in %q", strings.TrimSpace(output))
	}
	return match[1], nil
}

func newEnough(version string) bool {
	have, want := strings.Split(version, "."), strings.Split(minimum, ".")
	for i := range want {
		h, err := strconv.Atoi(have[i])
		if err != nil {
			return false
		}
		w, _ := strconv.Atoi(want[i])
		if h != w {
			return h > w
		}
	}
	return true
}

func install(ctx context.Context) error {
	for _, in := range installers {
		if _, err := exec.LookPath(in.tool); err != nil {
			continue
		}
		var sudo []string
		if in.asRoot && os.Geteuid() != 0 {
			if _, err := exec.LookPath("sudo"); err != nil {
				return fmt.Errorf("installing redis-server with %s needs root, and there is no sudo: run %q as root, then this again", in.tool, strings.Join(in.commands[len(in.commands)-1], " "))
			}
			sudo = []string{"sudo", "--preserve-env=DEBIAN_FRONTEND,RUNLEVEL"}
		}
		stepf("installing redis-server with %s", in.tool)
		// RUNLEVEL=1 keeps Debian from starting a Redis of its own on port 6379.
		for key, value := range map[string]string{"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"} {
			if err := os.Setenv(key, value); err != nil {
				return fmt.Errorf("set %s: %w", key, err)
			}
		}
		for _, c := range in.commands {
			line := append(append([]string{}, sudo...), c...)
			if err := command(ctx, line[0], line[1:]...); err != nil {
				return fmt.Errorf("install redis-server: %w", err)
			}
		}
		return nil
	}
	return fmt.Errorf("no redis-server, and none of the package managers known here (apt-get, apk, dnf, pacman, zypper, brew) on this %s machine: install Redis %s or newer (https://redis.io/docs/install), then run this again", runtime.GOOS, minimum)
}
