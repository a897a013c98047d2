package control

import (
	"context"

	"sluice"
)

// AssociateFirewallPolicy puts a firewall under another policy.
func (c *Controller) AssociateFirewallPolicy(ctx context.Context, s Selector, token, policyArn string) (sluice.Firewall, error) {
	if _, err := c.nameInArn("FirewallPolicyArn", sluice.ResourceFirewallPolicy, policyArn); err != nil {
		return sluice.Firewall{}, err
	}
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		if f.FirewallPolicyChangeProtection {
			return f, errProtected("FirewallPolicyChangeProtection", f)
		}
		f.PolicyArn = policyArn
		return f, nil
	})
}

// UpdateFirewallDeleteProtection sets whether DeleteFirewall is refused.
func (c *Controller) UpdateFirewallDeleteProtection(ctx context.Context, s Selector, token string, on bool) (sluice.Firewall, error) {
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.DeleteProtection = on
		return f, nil
	})
}

// UpdateSubnetChangeProtection sets whether changes of the subnets are refused.
func (c *Controller) UpdateSubnetChangeProtection(ctx context.Context, s Selector, token string, on bool) (sluice.Firewall, error) {
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.SubnetChangeProtection = on
		return f, nil
	})
}

// UpdateFirewallPolicyChangeProtection sets whether another policy is refused.
func (c *Controller) UpdateFirewallPolicyChangeProtection(ctx context.Context, s Selector, token string, on bool) (sluice.Firewall, error) {
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.FirewallPolicyChangeProtection = on
		return f, nil
	})
}

// UpdateFirewallDescription replaces the description; "" clears it.
func (c *Controller) UpdateFirewallDescription(ctx context.Context, s Selector, token, description string) (sluice.Firewall, error) {
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.Description = description
		return f, nil
	})
}

// UpdateFirewallEncryptionConfiguration replaces the encryption; nil is the AWS
// owned key.
func (c *Controller) UpdateFirewallEncryptionConfiguration(ctx context.Context, s Selector, token string, e *sluice.EncryptionConfiguration) (sluice.Firewall, error) {
	encryption, err := checkEncryption(e)
	if err != nil {
		return sluice.Firewall{}, err
	}
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.Encryption = encryption
		return f, nil
	})
}

// UpdateFirewallAnalysisSettings replaces the enabled analysis types.
func (c *Controller) UpdateFirewallAnalysisSettings(ctx context.Context, s Selector, token string, types []string) (sluice.Firewall, error) {
	return c.updateFirewall(ctx, s, token, func(f sluice.Firewall) (sluice.Firewall, error) {
		f.EnabledAnalysisTypes = types
		return f, nil
	})
}
