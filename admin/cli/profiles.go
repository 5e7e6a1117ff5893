package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
)

func newProfileCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "profile", Short: "Manage profiles: which system the commands speak to, and as whom",
		Long: "Manage profiles: which system the commands speak to, and as whom. `countersign up` writes one for\n" +
			"itself. They are in countersign/profiles.yaml in the user's configuration folder, and hold no secret,\n" +
			"only where it is. A command takes the one of --profile, or COUNTERSIGN_PROFILE, or the current one, or\n" +
			"the only one there is.",
	}
	cmd.AddCommand(newProfileListCmd(a), newProfileUseCmd(a), newProfileAddCmd(a), newProfileRemoveCmd(a))
	return cmd
}

func newProfileListCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List profiles", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign profile list",
		RunE: func(*cobra.Command, []string) error {
			p, err := newPrinter(a.env, a.format)
			if err != nil {
				return err
			}
			all, err := a.profiles()
			if err != nil {
				return err
			}
			return p.profiles(all)
		},
	}
	a.prints(cmd)
	return cmd
}

// listed is a profile as it is printed.
type listed struct {
	Name     string `json:"name"`
	Current  bool   `json:"current"`
	Issuer   string `json:"issuer,omitempty"`
	AdminURL string `json:"admin_url,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	File     string `json:"client_secret_file,omitempty"`
	Method   string `json:"token_endpoint_auth_method,omitempty"`
	From     string `json:"bootstrap,omitempty"`
}

func (p *printer) profiles(all *profiles) error {
	list := []listed{}
	for _, name := range slices.Sorted(maps.Keys(all.Profiles)) {
		of := all.Profiles[name]
		list = append(list, listed{
			Name: name, Current: name == all.Current, Issuer: of.Issuer, AdminURL: of.AdminURL, ClientID: of.ClientID, File: of.SecretFile,
			Method: of.AuthMethod, From: of.Bootstrap,
		})
		if at, err := of.target(name); err == nil && of.Bootstrap != "" { // of a system that was never started there is nothing to tell
			last := &list[len(list)-1]
			last.Issuer, last.AdminURL, last.ClientID = at.issuer, at.adminURL, at.clientID
		}
	}
	if p.machine() {
		return p.value(list)
	}
	return printTable(p.out, list, []column[listed]{
		{"NAME", func(l listed) string { return l.Name }},
		{"CURRENT", func(l listed) string { return yesNo(l.Current) }},
		{"ISSUER", func(l listed) string { return l.Issuer }},
		{"ADMIN URL", func(l listed) string { return l.AdminURL }},
		{"CLIENT ID", func(l listed) string { return l.ClientID }},
		{"CREDENTIALS", func(l listed) string { return l.File + l.From }},
	})
}

func (a *app) profiles() (*profiles, error) {
	path, err := profilesPath(a.env.Environ)
	if err != nil {
		return nil, err
	}
	return readProfiles(path)
}

func newProfileUseCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a profile the current one", Args: arguments, ValidArgsFunction: a.profileNames,
		Example: "  countersign profile use production",
		RunE: func(_ *cobra.Command, args []string) error {
			return changeProfiles(a.env.Environ, func(all *profiles) error {
				if _, ok := all.Profiles[args[0]]; !ok {
					return noProfile(args[0])
				}
				all.Current = args[0]
				return nil
			})
		},
	}
}

func noProfile(name string) error {
	return usagef("there is no profile %q: `countersign profile list` shows what there is", name)
}

// profileNames completes the name of a profile.
func (a *app) profileNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	all, err := a.profiles()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(all.Profiles)), cobra.ShellCompDirectiveNoFileComp
}

func newProfileAddCmd(a *app) *cobra.Command {
	var p Profile
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a profile, or replace the one of that name", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Add a profile, or replace the one of that name. Nothing is sent: `countersign whoami --profile NAME` tries it.",
		Example: "  countersign profile add production --issuer https://auth.example.com --admin-url https://admin.example.com \\\n" +
			"    --client-id cl_0vN6d1hYQm3ZJ4cW8kXb2T --client-secret-file ~/.countersign-secret\n" +
			"  countersign profile add local --bootstrap countersign-data/bootstrap.json",
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Issuer, "issuer", "", "issuer identifier, a `URL`")
	flags.StringVar(&p.AdminURL, "admin-url", "", "`URL` of the admin listener")
	flags.StringVar(&p.ClientID, "client-id", "", "`id` of the client to act as")
	flags.StringVar(&p.SecretFile, "client-secret-file", "", "`file` that holds its secret")
	choiceFlag(cmd, &p.AuthMethod, "auth-method", "`method` by which it authenticates: client_secret_basic or client_secret_post", basic, post)
	flags.StringVar(&p.Bootstrap, "bootstrap", "", "the bootstrap.json `file` of a `countersign up`, in place of all others")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		for _, path := range []*string{&p.SecretFile, &p.Bootstrap} {
			if *path == "" {
				continue
			}
			whole, err := filepath.Abs(*path)
			if err != nil {
				return usagef("find %s: %w", *path, err)
			}
			*path = whole
		}
		if err := WriteProfile(a.env.Environ, args[0], p); err != nil {
			return err
		}
		all, err := a.profiles()
		if err == nil && all.Current != args[0] {
			_, err = fmt.Fprintf(a.env.Stderr, "the current profile is still %s: `countersign profile use %s`, or --profile %s\n", all.Current, args[0], args[0])
		}
		return err
	}
	return cmd
}

func newProfileRemoveCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a profile; the system it names stays as it is", Args: arguments, ValidArgsFunction: a.profileNames,
		Example: "  countersign profile remove local",
		RunE: func(_ *cobra.Command, args []string) error {
			return changeProfiles(a.env.Environ, func(all *profiles) error {
				if _, ok := all.Profiles[args[0]]; !ok {
					return noProfile(args[0])
				}
				delete(all.Profiles, args[0])
				if all.Current == args[0] {
					all.Current = ""
				}
				return nil
			})
		},
	}
}
