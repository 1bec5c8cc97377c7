// kt, Kubernetes for tests: one binary with all programs of a one-node
// Kubernetes in it. Linked together they take a fraction of the space and of the
// time to build. It acts as the program that it is called as (through a symlink),
// or that its first argument names.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	containerd "github.com/containerd/containerd/v2/cmd/containerd/command"
	ctr "github.com/containerd/containerd/v2/cmd/ctr/app"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/file"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// containerd's shim is not among them: its plugins and containerd's own would
// register together. It is built as a program of its own.
var programs = map[string]func() error{
	"cert-manager":            func() error { return certManager(os.Args[1:]) },
	"containerd":              func() error { return containerd.App().Run(context.Background(), os.Args) },
	"coredns":                 func() error { coremain.Run(); return nil },
	"ctr":                     func() error { return ctr.New().Run(context.Background(), os.Args) },
	"etcd":                    func() error { etcdmain.Main(os.Args); return nil },
	"kube-apiserver":          func() error { return run(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() error { return run(controllers.NewControllerManagerCommand()) },
	"kube-proxy":              func() error { return run(proxy.NewProxyCommand()) },
	"kube-scheduler":          func() error { return run(scheduler.NewSchedulerCommand()) },
	"kubectl":                 func() error { return cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()) },
	"kubelet":                 func() error { return run(kubelet.NewKubeletCommand(context.Background())) },
	"provisioner":             func() error { return provision(os.Args[1:]) },
}

func main() {
	name := filepath.Base(os.Args[0])
	if programs[name] == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	program := programs[name]
	if program == nil {
		fmt.Fprintln(os.Stderr, "usage: kt PROGRAM ...; programs:", slices.Sorted(maps.Keys(programs)))
		os.Exit(2)
	}
	if err := program(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run ends the process with the command's exit code.
func run(c *cobra.Command) error {
	os.Exit(cli.Run(c))
	return nil
}
