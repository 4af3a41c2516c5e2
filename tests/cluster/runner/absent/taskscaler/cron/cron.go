// Package cron would say when a cluster is to have pods in store. None is asked for here.
package cron

import (
	"errors"
	"time"
)

type Schedule struct{}

func Parse(string, string) (Schedule, error) { return Schedule{}, errors.New("not here") }

func (Schedule) Contains(time.Time) bool { return false }
