package api_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	verrors "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"
)

var openAPIText = sync.OnceValue(func() []byte {
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		panic(err)
	}
	return text
})

// contract is openapi.yaml, read.
type contract struct {
	model     *v3.Document
	validator validator.Validator
}

var theContract = sync.OnceValue(func() *contract {
	cfg := datamodel.NewDocumentConfiguration()
	cfg.Logger = slog.New(slog.DiscardHandler)
	doc, err := libopenapi.NewDocumentWithConfiguration(openAPIText(), cfg)
	if err != nil {
		panic(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		panic(err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	if len(errs) > 0 {
		panic(errs)
	}
	return &contract{&model.Model, v}
})

// checkRequest fails the test if the request is not one that openapi.yaml allows.
func (c *contract) checkRequest(t *testing.T, r *http.Request, body []byte) {
	t.Helper()
	r = r.Clone(t.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := c.validator.ValidateHttpRequestSync(r); !ok {
		t.Errorf("openapi.yaml does not allow the request %s %s: %s", r.Method, r.URL, tell(errs))
	}
}

// checkResponse fails the test if the response is not one that openapi.yaml says.
func (c *contract) checkResponse(t *testing.T, r *http.Request, res *http.Response, body []byte) {
	t.Helper()
	copied := *res
	copied.Body = io.NopCloser(bytes.NewReader(body))
	if ok, errs := c.validator.ValidateHttpResponse(r, &copied); !ok {
		t.Errorf("openapi.yaml does not say the answer %d %q to %s %s: %s\n%s",
			res.StatusCode, res.Header.Get("Content-Type"), r.Method, r.URL, tell(errs), body)
	}
}

func tell(errs []*verrors.ValidationError) string {
	var b strings.Builder
	for _, err := range errs {
		fmt.Fprintf(&b, "\n  %s: %s", err.Message, err.Reason)
		for _, s := range err.SchemaValidationErrors {
			fmt.Fprintf(&b, "\n    %s: %s", s.FieldPath, s.Reason)
		}
	}
	return b.String()
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	if ok, errs := theContract().validator.ValidateDocument(); !ok {
		t.Errorf("openapi.yaml: %s", tell(errs))
	}
}

func TestOpenAPIHasWhatTheRouterHas(t *testing.T) {
	var routed, written []string
	g := newGateway(t, nil)
	err := chi.Walk(g.api.Routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed = append(routed, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range theContract().model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			written = append(written, strings.ToUpper(method)+" "+path)
		}
	}
	if len(routed) < 20 {
		t.Errorf("only %d routes were found", len(routed))
	}
	for _, route := range routed {
		if !slices.Contains(written, route) {
			t.Errorf("%s is routed and not in openapi.yaml", route)
		}
	}
	for _, route := range written {
		if !slices.Contains(routed, route) {
			t.Errorf("%s is in openapi.yaml and not routed", route)
		}
	}
}

func TestOpenAPINamesEveryProblem(t *testing.T) {
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	problem := theContract().model.Components.Schemas.GetOrZero("Problem").Schema()
	for _, value := range problem.Properties.GetOrZero("type").Schema().Enum {
		named[strings.TrimPrefix(value.Value, "urn:problem-type:carillon:")] = true
	}
	made := make(map[string]bool)
	for line := range strings.SplitSeq(string(source), "\n") {
		if _, rest, found := strings.Cut(line, "= kind{\""); found {
			name, _, _ := strings.Cut(rest, `"`)
			made[name] = true
			if !named[name] {
				t.Errorf("openapi.yaml does not name the problem %s", name)
			}
		}
	}
	for name := range named {
		if !made[name] {
			t.Errorf("openapi.yaml names the problem %s, of which the code knows nothing", name)
		}
	}
}

func TestOpenAPIExamplesAreTrue(t *testing.T) {
	count := 0
	check := func(where string, schema *base.SchemaProxy, decode func(any) error) {
		count++
		var example any
		if err := decode(&example); err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		sv := schema_validation.NewSchemaValidator(config.WithFormatAssertions())
		if ok, errs := sv.ValidateSchemaObject(schema.Schema(), example); !ok {
			t.Errorf("the example of %s is not as its schema says: %s", where, tell(errs))
		}
	}
	contents := func(where string, content *orderedmap.Map[string, *v3.MediaType]) {
		for name, media := range content.FromOldest() {
			for label, example := range media.Examples.FromOldest() {
				check(where+" "+name+" "+label, media.Schema, example.Value.Decode)
			}
		}
	}
	parameters := func(where string, all []*v3.Parameter) {
		for _, p := range all {
			if p.Example != nil {
				check(where+" "+p.Name, p.Schema, p.Example.Decode)
			}
		}
	}
	for path, item := range theContract().model.Paths.PathItems.FromOldest() {
		parameters(path, item.Parameters)
		for method, op := range item.GetOperations().FromOldest() {
			where := method + " " + path
			parameters(where, op.Parameters)
			if op.RequestBody != nil {
				contents(where, op.RequestBody.Content)
			}
			for code, res := range op.Responses.Codes.FromOldest() {
				contents(where+" "+code, res.Content)
			}
			contents(where+" default", op.Responses.Default.Content)
		}
	}
	if count < 50 {
		t.Errorf("only %d examples were found", count)
	}
}
