// Package server belongs to package api.
package server

import "net"

type Server struct{}

func New(log, wrapper any) *Server {
	panic("not here")
}

func (*Server) Listen(net.Listener) {}

func (*Server) Stop() {}
