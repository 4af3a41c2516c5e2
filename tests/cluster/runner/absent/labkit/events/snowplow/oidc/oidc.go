// Package oidc belongs to package snowplow.
package oidc

type Option func()

func WithSkipIfUnsupportedCloud(bool) Option { return func() {} }

func NewSource(...Option) any { return nil }
