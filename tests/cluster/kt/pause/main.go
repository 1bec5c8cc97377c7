// pause holds a pod's namespaces. Kubernetes needs such a program for each pod.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	// Where the containers of a pod share its process namespace this is
	// process 1, which has to wait for orphans. An ignored SIGCHLD does that.
	signal.Ignore(syscall.SIGCHLD)
	<-end
}
