package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/redrive/redrive/queue/queuetest"
)

func TestProf(t *testing.T) {
	if os.Getenv("PROF") == "" {
		t.Skip()
	}
	s, err := queuetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	f, err := newFleet(context.Background(), "redis://"+s.Addr()+"/1")
	if err != nil {
		t.Fatal(err)
	}
	c := f.store.Client()
	c.ConfigResetStat(context.Background())
	u := &usage{addr: s.Addr()}
	name := os.Getenv("PROF")
	n, tasks := 300, 3000
	if name == "fan" {
		n, tasks = 30, 3060
	}
	for range 3 {
		u.start()
		f.run(context.Background(), name, n)
		r, o, _ := u.stop()
		fmt.Printf("redis %.0f go %.0f us per task\n", r*1e6/float64(tasks), o*1e6/float64(tasks))
	}
	fmt.Println(c.Info(context.Background(), "commandstats").Val())
	fmt.Println(c.Info(context.Background(), "stats").Val())
	f.stop()
}
