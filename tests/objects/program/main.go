// Command objects says of objects what an API server of Kubernetes says before it keeps them: its own code gives them
// their defaults, and checks them. It reads documents in YAML, and prints a line for each, and for each warning.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
)

const namespace = "images"

var strategies = map[string]rest.RESTCreateStrategy{
	"ConfigMap":           configmap.Strategy,
	"CronJob":             cronjob.Strategy,
	"Deployment":          deployment.Strategy,
	"Job":                 job.Strategy,
	"NetworkPolicy":       networkpolicy.Strategy,
	"Pod":                 pod.Strategy,
	"PodDisruptionBudget": poddisruptionbudget.Strategy,
	"Service":             service.Strategy,
	"ServiceAccount":      serviceaccount.Strategy,
}

func main() {
	reader := yaml.NewYAMLReader(bufio.NewReader(os.Stdin))
	failed := false
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && len(bytes.TrimSpace(document)) > 0 {
			err = judge(document)
		}
		if err != nil {
			fmt.Println("refused", err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func judge(document []byte) error {
	var about runtime.TypeMeta
	if err := yaml.Unmarshal(document, &about); err != nil {
		return err
	}
	strategy, known := strategies[about.Kind]
	if !known {
		fmt.Println("unknown", about.Kind)
		return nil
	}
	given, _, err := legacyscheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		return err
	}
	legacyscheme.Scheme.Default(given)
	object, err := legacyscheme.Scheme.UnsafeConvertToVersion(given, runtime.InternalGroupVersioner)
	if err != nil {
		return err
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	accessor.SetNamespace(namespace)
	rest.FillObjectMetaSystemFields(accessor)
	// Between the two the server gives addresses out: none is wanted here.
	if service, ok := object.(*core.Service); ok && service.Spec.ClusterIP == core.ClusterIPNone {
		service.Spec.ClusterIPs = []string{core.ClusterIPNone}
	}
	group := about.GroupVersionKind()
	ctx := request.WithNamespace(context.Background(), namespace)
	ctx = request.WithRequestInfo(ctx, &request.RequestInfo{
		IsResourceRequest: true, Verb: "create", Namespace: namespace,
		APIGroup: group.Group, APIVersion: group.Version, Resource: strings.ToLower(about.Kind) + "s",
	})
	if err := rest.BeforeCreate(strategy, ctx, object); err != nil {
		return err
	}
	for _, warning := range strategy.WarningsOnCreate(ctx, object) {
		fmt.Println("warned", about.Kind, accessor.GetName(), warning)
	}
	fmt.Println("taken", about.Kind, accessor.GetName())
	return nil
}
