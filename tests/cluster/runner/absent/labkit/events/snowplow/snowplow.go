// Package snowplow would send bills of what jobs used. Nobody has that switched on.
package snowplow

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/labkit/v2/events/snowplow/metrics"
)

var errAbsent = errors.New("not here")

type SendResult struct {
	EventCount int
	StatusCode int
	Err        error
}

type SendCallback func(successes, failures []SendResult)

type EmitterOption func()

func WithCallback(SendCallback) EmitterOption { return func() {} }

func WithTokenSource(any) EmitterOption { return func() {} }

func WithMetricsCollectorOptions(...metrics.CollectorOption) EmitterOption { return func() {} }

type Emitter struct{}

func NewEmitter(string, ...EmitterOption) (*Emitter, error) { return nil, errAbsent }

func (*Emitter) Collector() prometheus.Collector { panic(errAbsent) }

type BillingEventRequiredInput struct {
	Category, EventType, Realm, UnitOfMeasure string
	Quantity                                  float64
}

type BillingEventOptionalInput struct {
	Subject, DeploymentType, InstanceID, UniqueInstanceID   string
	ProjectID, NamespaceID, RootNamespaceID, OrganizationID int64
	Metadata                                                map[string]any
}

type Tracker struct{}

func NewTracker(string, *Emitter) (*Tracker, error) { return nil, errAbsent }

func (*Tracker) TrackBillingEventWithOptionalInput(BillingEventRequiredInput, BillingEventOptionalInput) error {
	return errAbsent
}

func (*Tracker) Stop() {}
