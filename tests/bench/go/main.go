// An injector as Go projects have it: controller-runtime's webhook server, the pod as corev1.Pod, and the
// patch as the difference that controller-runtime finds.
package main

import (
	"context"
	"flag"
	"io"
	"log"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// injector gives the pods of one workload their peers, as Torch does.
type injector struct{ node, peers string }

func (i *injector) Default(_ context.Context, pod *corev1.Pod) error {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Name != i.node {
		return nil
	}
	for c := range pod.Spec.Containers {
		if container := &pod.Spec.Containers[c]; container.Name == "node" {
			i.inject(pod, container)
		}
	}
	return nil
}

func (i *injector) inject(pod *corev1.Pod, container *corev1.Container) {
	container.Env = append(container.Env, corev1.EnvVar{Name: "TRUSTED_PEERS", Value: i.peers})
	for _, volume := range pod.Spec.Volumes {
		if volume.PersistentVolumeClaim != nil {
			mount := corev1.VolumeMount{Name: volume.Name, MountPath: "/peers", SubPath: "torch"}
			container.VolumeMounts = append(container.VolumeMounts, mount)
		}
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations["torch.celestia.org/injected"] = "TRUSTED_PEERS, volumeMount"
}

func main() {
	address := flag.String("address", "", "the address to listen on")
	port := flag.Int("port", 0, "the port to listen on")
	directory := flag.String("tls-dir", "", "the directory with tls.crt and tls.key")
	var i injector
	flag.StringVar(&i.node, "node", "", "the workload whose pods are changed")
	flag.StringVar(&i.peers, "peers", "", "the value that these get")
	flag.Parse()

	// Of each client that goes away it would write a line.
	log.SetOutput(io.Discard)
	ctrllog.SetLogger(logr.Discard())
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	server := webhook.NewServer(webhook.Options{Host: *address, Port: *port, CertDir: *directory})
	server.Register("/mutate", admission.WithDefaulter(scheme, &i))
	if err := server.Start(signals.SetupSignalHandler()); err != nil {
		panic(err)
	}
}
