package main

import (
	"context"
	"errors"
	"log"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	storageClass    = "standard"
	provisionerName = "torch-cluster/local"
)

// A provisioner gives each claim of the storage class a volume of type "local".
// Not hostPath: on those the kubelet does not apply a pod's fsGroup.
type provisioner struct {
	api  client.CoreV1Interface
	dir  string // where the volumes' folders are made
	node string // that has this dir
}

// provision is the program: provisioner KUBECONFIG DIR NODE.
func provision(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: provisioner KUBECONFIG DIR NODE")
	}
	config, err := clientcmd.BuildConfigFromFlags("", args[0])
	if err != nil {
		return err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	p := provisioner{clients.CoreV1(), args[1], args[2]}
	for ; ; time.Sleep(200 * time.Millisecond) {
		if err := p.round(context.Background()); err != nil {
			log.Print(err)
		}
	}
}

// round removes the volumes that were released and makes those that are missing.
func (p provisioner) round(ctx context.Context) error {
	fromCache := meta.ListOptions{ResourceVersion: "0"}
	claims, err := p.api.PersistentVolumeClaims("").List(ctx, fromCache)
	if err != nil {
		return err
	}
	volumes, err := p.api.PersistentVolumes().List(ctx, fromCache)
	if err != nil {
		return err
	}
	var failed []error
	have := map[string]bool{}
	for _, volume := range volumes.Items {
		have[volume.Name] = true
		if ours(volume) && over(volume) {
			failed = append(failed, p.remove(ctx, volume))
		}
	}
	for _, claim := range claims.Items {
		if waits(claim) && !have[volumeName(claim)] {
			failed = append(failed, p.create(ctx, claim))
		}
	}
	return errors.Join(failed...)
}

func ours(v core.PersistentVolume) bool {
	return v.Spec.StorageClassName == storageClass && v.Spec.Local != nil
}

func over(v core.PersistentVolume) bool {
	released := v.Status.Phase == core.VolumeReleased || v.Status.Phase == core.VolumeFailed
	return released && v.DeletionTimestamp == nil
}

func waits(c core.PersistentVolumeClaim) bool {
	class := c.Spec.StorageClassName
	return class != nil && *class == storageClass && c.Spec.VolumeName == "" && c.DeletionTimestamp == nil
}

// volumeName has the claim's UID: a claim made again under its old name must
// not meet the old one's data, nor lose its own when the old one's is removed.
func volumeName(c core.PersistentVolumeClaim) string { return "pvc-" + string(c.UID) }

func (p provisioner) remove(ctx context.Context, v core.PersistentVolume) error {
	if err := os.RemoveAll(v.Spec.Local.Path); err != nil {
		return err
	}
	log.Print("delete ", v.Name)
	return p.api.PersistentVolumes().Delete(ctx, v.Name, meta.DeleteOptions{})
}

func (p provisioner) create(ctx context.Context, c core.PersistentVolumeClaim) error {
	path := filepath.Join(p.dir, volumeName(c))
	// As a fresh disk is: root's, and nobody else may write.
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	log.Print("create ", volumeName(c), " for ", c.Namespace, "/", c.Name)
	_, err := p.api.PersistentVolumes().Create(ctx, p.volume(c, path), meta.CreateOptions{})
	return err
}

func (p provisioner) volume(c core.PersistentVolumeClaim, path string) *core.PersistentVolume {
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name: volumeName(c),
			// It tells the volume controller that somebody else deletes it.
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisionerName},
		},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      core.ResourceList{core.ResourceStorage: c.Spec.Resources.Requests[core.ResourceStorage]},
			AccessModes:                   c.Spec.AccessModes,
			StorageClassName:              storageClass,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			ClaimRef:                      &core.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: c.Namespace, Name: c.Name, UID: c.UID},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity:                  p.onNode(),
		},
	}
}

func (p provisioner) onNode() *core.VolumeNodeAffinity {
	host := core.NodeSelectorRequirement{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{p.node}}
	term := core.NodeSelectorTerm{MatchExpressions: []core.NodeSelectorRequirement{host}}
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{term}}}
}
