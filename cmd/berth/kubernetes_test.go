package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/berth-host/berth/cmd/berth/internal/client"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// The parts of the Kubernetes objects that the tests read.
type (
	labels struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	probe struct {
		HTTPGet struct {
			Path, Port, Scheme string
			HTTPHeaders        []struct{ Name, Value string } `yaml:"httpHeaders"`
		} `yaml:"httpGet"`
	}
	mount struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	}
	container struct {
		Name, Image string
		Args        []string
		Env         []struct{ Name, Value string }
		Ports       []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe   *probe  `yaml:"startupProbe"`
		LivenessProbe  *probe  `yaml:"livenessProbe"`
		ReadinessProbe *probe  `yaml:"readinessProbe"`
		VolumeMounts   []mount `yaml:"volumeMounts"`
	}
	object struct {
		Kind       string
		APIVersion string            `yaml:"apiVersion"`
		Data       map[string]string `yaml:"data"`
		StringData map[string]string `yaml:"stringData"`
		Metadata   struct{ Name string }
		Spec       struct {
			Replicas       int
			MaxUnavailable int `yaml:"maxUnavailable"`
			Selector       yaml.Node
			Ports          []struct {
				Port       int
				TargetPort string `yaml:"targetPort"`
			}
			Template struct {
				Metadata struct{ Labels map[string]string }
				Spec     struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []container
					Volumes    []struct {
						Name      string
						ConfigMap struct{ Name string } `yaml:"configMap"`
						Secret    struct {
							SecretName  string      `yaml:"secretName"`
							DefaultMode os.FileMode `yaml:"defaultMode"`
						}
					}
				}
			}
		}
	}
)

// objects returns the Kubernetes objects by their kinds.
func objects(t *testing.T) map[string]object {
	t.Helper()
	list := make(map[string]object)
	for _, name := range []string{"kubernetes/berth.yaml", "kubernetes/secret.yaml"} {
		for dec := yaml.NewDecoder(strings.NewReader(deploymentFile(t, name))); ; {
			var o object
			err := dec.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			list[o.Kind] = o
		}
	}
	for _, kind := range []string{"ConfigMap", "Secret", "Deployment", "Service", "PodDisruptionBudget"} {
		if list[kind].Metadata.Name == "" || list[kind].APIVersion == "" {
			t.Fatalf("there is no %s", kind)
		}
	}
	return list
}

func TestKubernetesObjectsBelongTogether(t *testing.T) {
	list := objects(t)
	deployment := list["Deployment"]
	pod := deployment.Spec.Template
	if deployment.Spec.Replicas != 3 || list["PodDisruptionBudget"].Spec.MaxUnavailable != 1 || len(pod.Spec.Containers) != 1 {
		t.Errorf("got %d replicas, at most %d away, %d containers", deployment.Spec.Replicas, list["PodDisruptionBudget"].Spec.MaxUnavailable, len(pod.Spec.Containers))
	}
	for _, kind := range []string{"Deployment", "PodDisruptionBudget", "Service"} {
		var selector labels
		node := list[kind].Spec.Selector
		err := node.Decode(&selector)
		if kind == "Service" {
			err = node.Decode(&selector.MatchLabels)
		}
		if err != nil || len(selector.MatchLabels) == 0 {
			t.Errorf("the selector of %s: %v, %v", kind, selector, err)
		}
		for key, want := range selector.MatchLabels {
			if got := pod.Metadata.Labels[key]; got != want {
				t.Errorf("%s selects %s=%s, the pods have %q", kind, key, want, got)
			}
		}
	}
	c := pod.Spec.Containers[0]
	if port := list["Service"].Spec.Ports[0]; port.TargetPort != c.Ports[0].Name {
		t.Errorf("the service sends to the port %s", port.TargetPort)
	}
	volumes := make(map[string]bool)
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap.Name != "" && v.ConfigMap.Name != list["ConfigMap"].Metadata.Name {
			t.Errorf("the volume %s is of the config map %s", v.Name, v.ConfigMap.Name)
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	if image, _ := imageCommand(t); !slices.Equal(image, c.Args) {
		t.Errorf("the pods' arguments are %q, the image's %q", c.Args, image)
	}
}

// TestKubernetesPodStartsTheHost starts a pod's container: its arguments, its environment and
// the files that it mounts.
func TestKubernetesPodStartsTheHost(t *testing.T) {
	const password = "a password: with 'signs'"
	pgtest.Exec(t, `CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '`+strings.ReplaceAll(password, "'", "''")+`'`)
	list := objects(t)
	c := list["Deployment"].Spec.Template.Spec.Containers[0]
	root := newRoot(t, "/etc/berth", "/etc/berth-postgres", "/etc/berth-tls", "/var/lib/berth", "/tmp")
	certificate(t, filepath.Join(root, "/etc/berth-tls"))
	if err := os.Chmod(filepath.Join(root, "/var/lib/berth"), 0o777); err != nil { // as an emptyDir
		t.Fatal(err)
	}
	for name := range list["Secret"].StringData {
		path := filepath.Join(root, "/etc/berth-postgres", name)
		write(t, path, []byte(password))
		for _, v := range list["Deployment"].Spec.Template.Spec.Volumes {
			if v.Secret.SecretName != list["Secret"].Metadata.Name {
				continue
			}
			if err := os.Chmod(path, v.Secret.DefaultMode); err != nil {
				t.Fatal(err)
			}
		}
	}
	database, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	database.User = url.User("guarded")
	for name, text := range list["ConfigMap"].Data {
		const theirs = "postgres://berth@postgres:5432/berth?sslmode=require"
		if !strings.Contains(text, theirs) {
			t.Fatalf("the configuration does not name %s", theirs)
		}
		text = strings.Replace(text, theirs, fmt.Sprintf("%q", database.String()), 1)
		write(t, filepath.Join(root, "/etc/berth", name), []byte(below(root, text)))
	}
	var env []string
	for _, v := range c.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	if !slices.Contains(env, "BERTH_DATA_DIR=/var/lib/berth") {
		t.Errorf("commands in the pod do not find the host: the environment is %q", env)
	}
	d := startDeployed(t, root, c.Args, env)
	for name, p := range map[string]*probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if p == nil || p.HTTPGet.Port != c.Ports[0].Name {
			t.Fatalf("the %s probe: %+v", name, p)
		}
		d.probe(t, name, p)
	}
	began := time.Now()
	d.terminate(t)
	if took, limit := time.Since(began), time.Duration(list["Deployment"].Spec.Template.Spec.Grace)*time.Second; took > limit {
		t.Errorf("it took %v to stop, and is killed after %v", took, limit)
	}
}

// probe asks as a kubelet does: by address, and without a look at the certificate.
func (d *deployed) probe(t *testing.T, name string, p *probe) {
	t.Helper()
	state, err := client.ReadState(d.cmd.Dir)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(state.URL)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.ToLower(p.HTTPGet.Scheme)+"://127.0.0.1:"+at.Port()+p.HTTPGet.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range p.HTTPGet.HTTPHeaders {
		if h.Name == "Host" {
			req.Host = h.Value
		}
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // as a kubelet does
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("the %s probe: %v", name, err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Errorf("the %s probe is answered with %d %s", name, resp.StatusCode, text)
	}
}
